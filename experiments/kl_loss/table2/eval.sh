#!/usr/bin/env bash
# Measures KL Loss Table 2 and prints it beside the paper's.
source "$(dirname "${BASH_SOURCE[0]}")/../../common.sh"
"$PYTHON" -m scripts.benchmark kl_loss/table2 --scale "$SCALE" --out "${OUT:-runs}" --device "${DEVICE:-auto}"
"$PYTHON" -m scripts.report kl_loss/table2 --scale "$SCALE" --out "${OUT:-runs}"
