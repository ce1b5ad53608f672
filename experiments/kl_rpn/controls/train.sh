#!/usr/bin/env bash
# Trains the two controls and the two networks that they are compared with; see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_rpn/vgg16_coco kl_rpn/vgg16_coco_klrpn kl_rpn/vgg16_coco_weight10 kl_rpn/vgg16_coco_klrpn_weight1
