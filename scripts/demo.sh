#!/usr/bin/env bash
# make demo: renders small scenes, trains a detector on them, makes its sigmas honest, scores it, and
# draws four scenes. Each step is a command that works on photos of your own as well.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON=${PYTHON:-.venv/bin/python} OUT=${OUT:-runs/demo} EPOCHS=${EPOCHS:-2} TRAIN=${TRAIN:-640}
SCENES=$OUT/scenes RUN=$OUT/own/demo/coco/seed0

step() {
  printf '\n$ %s\n' "$*" | sed "s|$PYTHON|python|"
  "$@"
}

step "$PYTHON" -m data.mini.ambiguous --out "$SCENES" --train "$TRAIN" --val 120
step "$PYTHON" -m scripts.train own/demo --data "$SCENES/coco" --splits train:val --epochs "$EPOCHS" \
  --validate-every 100000 --out "$OUT" --device "${DEVICE:-auto}"
step "$PYTHON" -m scripts.calibrate "$RUN" --data "$SCENES/coco" --split val --device "${DEVICE:-auto}"
step "$PYTHON" -m scripts.score "$RUN" --data "$SCENES/coco" --split val --device "${DEVICE:-auto}"
first=("$SCENES"/coco/val/*)
step "$PYTHON" -m scripts.detect "$RUN" "${first[@]:0:4}" --score 0.4 --out "$OUT/found" --device "${DEVICE:-auto}"
printf '\nFour scenes with their error bars:\n'
ls "$OUT"/found/*.png
