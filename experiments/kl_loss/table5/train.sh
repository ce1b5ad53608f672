#!/usr/bin/env bash
# Trains the networks of KL Loss Table 5; the environment says how, see experiments/common.sh.
#   WEIGHTS_VGGM  at paper scale: the ImageNet weights of VGG-CNN-M-1024, which torchvision does not have
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
vgg16=$WEIGHTS
[ -z "${WEIGHTS_VGGM:-}" ] || WEIGHTS=$(realpath -m -- "$WEIGHTS_VGGM")
train kl_loss/vggm_voc kl_loss/vggm_voc_kl
WEIGHTS=$vgg16
train kl_loss/vgg16_voc kl_loss/vgg16_voc_kl
