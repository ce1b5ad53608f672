#!/usr/bin/env bash
# Evaluates KL Loss Figure 6, prints its numbers and draws its curves.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
evaluate kl_loss/figure6
"$PYTHON" -m scripts.figure6 kl_loss/figure6 --scale "$SCALE" --out "${OUT:-runs}" ${RESULTS:+--results "$RESULTS"}
