#!/usr/bin/env bash
# Evaluates the controls of KL-RPN Table 1.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate kl_rpn/controls
