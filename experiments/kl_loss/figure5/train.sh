#!/usr/bin/env bash
# Trains the networks of KL Loss Figure 5; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/vgg16_coco_kl
