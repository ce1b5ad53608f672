#!/usr/bin/env bash
# Trains the networks of KL Loss Table 3; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/r50_fpn_2x kl_loss/r50_fpn_kl kl_loss/r50_c4 kl_loss/r50_c4_kl kl_loss/r50_fpn_mask kl_loss/r50_fpn_mask_kl
