#!/usr/bin/env bash
# Evaluates every row of KL-RPN Table 1 and prints it beside the paper's.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate kl_rpn/table1
