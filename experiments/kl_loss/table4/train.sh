#!/usr/bin/env bash
# Trains the networks of KL Loss Table 4; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/r50_fpn_mask kl_loss/r50_fpn_mask_iou kl_loss/r50_fpn_mask_kl
