#!/usr/bin/env bash
# Draws KL Loss Figure 5 and measures how far var voting moves the boxes.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
"$PYTHON" -m scripts.figure5 kl_loss/figure5 --seeds "$SEEDS" "${common[@]}" ${RESULTS:+--results "$RESULTS"}
