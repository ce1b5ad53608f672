# Read by every train.sh and eval.sh: goes to the repository's root and turns the environment into options.
#   SCALE   mini (default), lite, lite600 or paper   SEEDS    how many seeds, 0 .. SEEDS-1 (default 1)
#   LENGTH  how many times as many updates: 4 is --scale mini-4x (default 1)
#   DATA    folder of the data set                 WEIGHTS  ImageNet weights: a file, none, or auto (torchvision's)
#   OUT     where runs are kept (default runs)     DEVICE   auto (default), cpu or cuda
#   JOBS    trainings side by side (default: at mini the number of cores, at most 4; else 1); see scripts/side_by_side.sh
#   WORKERS processes that read images (default 0) SPLITS   TRAIN:TEST, other splits than the run's
#   PUBLISH not empty: write the report into the table's results folder in experiments/
#   RESULTS folder for the report (default: OUT/SCALE/PAPER/TABLE/report)
#   SKIP_BAD_BOXES  not empty: leave annotations without a usable box out, each named
#   AMP     off (default), bf16 or fp16            BATCH, ACCUMULATE  images an update, forward passes an update
#   GPUS    processes that share each batch and the test images, one a GPU (default 1); a training with
#           fewer images an update takes as many as it has images
#   RESTARTS  how often they are started anew after one has failed (default 0); see scripts/launch.sh
#   WEIGHTS_VGGM    ImageNet weights of VGG-CNN-M-1024, which torchvision does not have (default: WEIGHTS)
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/launch.sh"
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/side_by_side.sh"
SCALE=${SCALE:-mini} SEEDS=${SEEDS:-1} WEIGHTS=${WEIGHTS:-auto}
[[ $SEEDS =~ ^[1-9][0-9]*$ ]] || { echo "error: SEEDS is '$SEEDS'; give a whole number of at least 1." >&2; exit 2; }
[[ ${LENGTH:-1} =~ ^[1-9][0-9]*$ ]] || { echo "error: LENGTH is '$LENGTH'; give a whole number of at least 1." >&2; exit 2; }
[ "${LENGTH:-1}" = 1 ] || SCALE=$SCALE-${LENGTH}x
JOBS=${JOBS:-$(default_jobs "$SCALE")}
check_jobs
case ${SCALE%-*x} in mini | lite | lite600 | paper) ;; *) echo "error: SCALE is '$SCALE'; give mini, lite, lite600 or paper." >&2; exit 2 ;; esac
case ${DEVICE:-auto} in auto | cpu | cuda) ;; *) echo "error: DEVICE is '$DEVICE'; give auto, cpu or cuda." >&2; exit 2 ;; esac
[ -z "${RESULTS:-}" ] || [ -z "${PUBLISH:-}" ] || { echo "error: RESULTS and PUBLISH both say where the report goes; give one of them." >&2; exit 2; }
[ -z "${DATA:-}" ] || DATA=$(realpath -m -- "$DATA")
[ -z "${RESULTS:-}" ] || RESULTS=$(realpath -m -- "$RESULTS")
[ -z "${OUT:-}" ] || OUT=$(realpath -m -- "$OUT")
case $WEIGHTS in auto | none) ;; *) WEIGHTS=$(realpath -m -- "$WEIGHTS") ;; esac
case ${WEIGHTS_VGGM:-} in '' | auto | none) ;; *) WEIGHTS_VGGM=$(realpath -m -- "$WEIGHTS_VGGM") ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
place=(--scale "$SCALE" --out "${OUT:-runs}")
common=("${place[@]}" --device "${DEVICE:-auto}" --workers "${WORKERS:-0}")
[ -z "${DATA:-}" ] || common+=(--data-root "$DATA")
[ -z "${SPLITS:-}" ] || common+=(--splits "$SPLITS")
[ -z "${SKIP_BAD_BOXES:-}" ] || common+=(--skip-bad-boxes)
report=()
[ -z "${RESULTS:-}" ] || report+=(--results "$RESULTS")
[ -z "${PUBLISH:-}" ] || report+=(--publish)

train_table() { # train_table PAPER/TABLE: each network that the table needs, with each seed
  local runs run backbone images round earlier weights seed
  local options=(--amp "${AMP:-off}" --accumulate "${ACCUMULATE:-1}")
  [ -z "${BATCH:-}" ] || options+=(--batch-size "$BATCH")
  runs=$("$PYTHON" -m scripts.list_runs "$1" --scale "$SCALE")
  [ -n "$runs" ] || echo "$1 is measured on networks with random weights; nothing to train."
  for ((seed = 0; seed < SEEDS; seed++)); do
    earlier=0
    while read -r -u 3 run backbone images round; do
      [ -n "$run" ] || continue
      [ "$round" = "$earlier" ] || end_jobs # it needs networks of the earlier rounds
      earlier=$round
      weights=$WEIGHTS
      [ "$backbone" != vgg_cnn_m_1024 ] || weights=${WEIGHTS_VGGM:-$WEIGHTS}
      start_job "$run, seed $seed" launch "$(processes_for "$run" "${BATCH:-$images}")" scripts.train "$run" --seed "$seed" "${common[@]}" --weights "$weights" "${options[@]}"
    done 3<<<"$runs"
  done
  end_jobs
}

processes_for() { # processes_for RUN IMAGES: GPUS, but no more than there are images in an update
  if [[ $2 =~ ^[1-9][0-9]*$ ]] && ((GPUS > $2)); then
    echo "note: $1 learns from $2 images an update, so $2 of GPUS=$GPUS processes train it; with BATCH=$GPUS all do" >&2
    echo "$2"
  else
    echo "$GPUS"
  fi
}

evaluate_table() { # evaluate_table PAPER/TABLE: measures its rows, writes and prints its report
  local commands command
  commands=$("$PYTHON" -m scripts.list_runs "$1" --commands)
  for command in $commands; do
    case $command in
      evaluate) launch "$GPUS" scripts.evaluate "$1" --seeds "$SEEDS" "${common[@]}" ;;
      benchmark) "$PYTHON" -m scripts.benchmark "$1" "${place[@]}" --device "${DEVICE:-auto}" ;;
      report | figure6 | length) "$PYTHON" -m "scripts.$command" "$1" "${place[@]}" ${report[@]+"${report[@]}"} ;;
      *) "$PYTHON" -m "scripts.$command" "$1" --seeds "$SEEDS" "${common[@]}" ${report[@]+"${report[@]}"} ;;
    esac
  done
}
