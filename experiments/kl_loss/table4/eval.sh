#!/usr/bin/env bash
# Evaluates every row of KL Loss Table 4 and prints it beside the paper's.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate kl_loss/table4
