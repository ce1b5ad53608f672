#!/usr/bin/env bash
# Evaluates every row of the controls of KL Loss Tables 3 and 6 and prints it beside the paper's.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate kl_loss/controls
