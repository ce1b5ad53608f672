#!/usr/bin/env bash
# Trains the networks of KL Loss Table 6; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/r50_fpn_rpn kl_loss/r50_fpn_fast_1x kl_loss/r50_fpn_fast_2x kl_loss/r50_fpn_fast_iou kl_loss/r50_fpn_fast_kl kl_loss/r50_fpn_1x kl_loss/r50_fpn_2x kl_loss/r50_fpn_iou kl_loss/r50_fpn_kl
