#!/usr/bin/env bash
# KL Loss Table 2 measures time, which does not depend on the weights: there is nothing to train.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
echo "Table 2 is measured on networks with random weights; nothing to train."
