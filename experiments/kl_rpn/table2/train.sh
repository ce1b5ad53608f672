#!/usr/bin/env bash
# Trains the networks of KL-RPN Table 2; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_rpn/vgg16_voc kl_rpn/vgg16_voc_klrpn kl_rpn/r101_voc kl_rpn/r101_voc_klrpn kl_rpn/rfcn_r101_voc \
  kl_rpn/rfcn_r101_voc_klrpn
