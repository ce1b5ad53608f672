#!/usr/bin/env bash
# Trains the networks whose proposals are compared; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_rpn/vgg16_coco kl_rpn/vgg16_coco_klrpn kl_rpn/r101_coco kl_rpn/r101_coco_klrpn kl_rpn/rfcn_r101_coco \
  kl_rpn/rfcn_r101_coco_klrpn kl_rpn/vgg16_coco_weight10 kl_rpn/vgg16_coco_klrpn_weight1
