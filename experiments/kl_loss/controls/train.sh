#!/usr/bin/env bash
# Trains the networks of the controls of KL Loss Tables 3 and 6; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/r50_fpn_2x kl_loss/r50_fpn_edges kl_loss/r50_fpn_kl kl_loss/r50_fpn_2x_again kl_loss/r50_fpn_kl_warm
