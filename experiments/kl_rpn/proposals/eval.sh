#!/usr/bin/env bash
# Measures the recall of each network's proposals.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
"$PYTHON" -m scripts.recall kl_rpn/proposals --seeds "$SEEDS" "${common[@]}" ${RESULTS:+--results "$RESULTS"}
