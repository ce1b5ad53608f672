#!/usr/bin/env bash
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate_table kl_rpn/detector_length
