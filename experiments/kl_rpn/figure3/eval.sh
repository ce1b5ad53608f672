#!/usr/bin/env bash
# Draws KL-RPN Figure 3 and measures how far apart its curves are.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
"$PYTHON" -m scripts.figure3 kl_rpn/figure3 --seeds "$SEEDS" "${common[@]}" ${RESULTS:+--results "$RESULTS"}
"$PYTHON" -m scripts.swap kl_rpn/figure3 --seeds "$SEEDS" "${common[@]}" ${RESULTS:+--results "$RESULTS"}
