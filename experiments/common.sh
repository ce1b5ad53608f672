# Read by every train.sh and eval.sh: goes to the repository's root and turns the environment into options.
#   SCALE   mini (default), lite or paper          SEEDS    how many seeds, 0 .. SEEDS-1 (default 1)
#   DATA    folder of the data set                 WEIGHTS  ImageNet weights: a file, none, or auto (torchvision's)
#   OUT     where runs are kept (default runs)     DEVICE   auto (default), cpu or cuda
#   WORKERS processes that read images (default 0) SPLITS   TRAIN:TEST, other splits than the run's
#   RESULTS folder for the report (default: the table's results folder)
#   SKIP_BAD_BOXES  not empty: leave annotations without a usable box out, each named
#   AMP     off (default), bf16 or fp16            BATCH, ACCUMULATE  images an update, forward passes an update
set -euo pipefail
SCALE=${SCALE:-mini} SEEDS=${SEEDS:-1} WEIGHTS=${WEIGHTS:-auto}
[ -z "${DATA:-}" ] || DATA=$(realpath -m -- "$DATA")
[ -z "${RESULTS:-}" ] || RESULTS=$(realpath -m -- "$RESULTS")
[ -z "${OUT:-}" ] || OUT=$(realpath -m -- "$OUT")
case $WEIGHTS in auto | none) ;; *) WEIGHTS=$(realpath -m -- "$WEIGHTS") ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
common=(--scale "$SCALE" --out "${OUT:-runs}" --device "${DEVICE:-auto}" --workers "${WORKERS:-0}")
[ -z "${DATA:-}" ] || common+=(--data-root "$DATA")
[ -z "${SPLITS:-}" ] || common+=(--splits "$SPLITS")
[ -z "${SKIP_BAD_BOXES:-}" ] || common+=(--skip-bad-boxes)

train() { # train PAPER/RUN ...: each run with each seed
  local seed run
  local options=(--weights "$WEIGHTS" --amp "${AMP:-off}" --accumulate "${ACCUMULATE:-1}")
  [ -z "${BATCH:-}" ] || options+=(--batch-size "$BATCH")
  for ((seed = 0; seed < SEEDS; seed++)); do
    for run in "$@"; do
      "$PYTHON" -m scripts.train "$run" --seed "$seed" "${common[@]}" "${options[@]}"
    done
  done
}

evaluate() { # evaluate PAPER/TABLE: candidates, rows, report
  "$PYTHON" -m scripts.evaluate "$1" --seeds "$SEEDS" "${common[@]}"
  "$PYTHON" -m scripts.report "$1" --scale "$SCALE" --out "${OUT:-runs}" ${RESULTS:+--results "$RESULTS"}
}
