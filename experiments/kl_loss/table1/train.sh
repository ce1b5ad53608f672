#!/usr/bin/env bash
# Trains the networks of KL Loss Table 1; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/vgg16_coco kl_loss/vgg16_coco_kl
