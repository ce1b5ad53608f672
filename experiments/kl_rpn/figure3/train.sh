#!/usr/bin/env bash
# Trains the networks of KL-RPN Figure 3; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_rpn/vgg16_coco kl_rpn/vgg16_coco_klrpn
