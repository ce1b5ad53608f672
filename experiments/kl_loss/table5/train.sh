#!/usr/bin/env bash
# Trains the networks of KL Loss Table 5; the environment says how, see experiments/common.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
train kl_loss/vggm_voc kl_loss/vggm_voc_kl kl_loss/vgg16_voc kl_loss/vgg16_voc_kl
