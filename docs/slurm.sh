#!/usr/bin/env bash
#SBATCH --job-name=train
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
#
# Trains one run on every machine of a SLURM job, from the root of the repository:
#   sbatch docs/slurm.sh kl_loss/r50_fpn_kl --weights resnet50.pth --workers 4
# Before the time is over SLURM sends SIGTERM to torchrun, and the training saves and stops. The job then
# puts itself into the queue again, until status.json says "done".
#   SCALE, SEED, OUT  as for make (default paper, 0, runs); OUT must be on a disk that every machine sees
#   RESTARTS          how often torchrun starts all processes anew after one has failed (default 3)
set -euo pipefail
run=${1:?which run? sbatch docs/slurm.sh PAPER/RUN OPTIONS...}
shift
SCALE=${SCALE:-paper} SEED=${SEED:-0} OUT=${OUT:-runs} PYTHON=${PYTHON:-.venv/bin/python}
status=$OUT/$SCALE/$run/seed$SEED/status.json
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=150  # seconds for the last update and its checkpoint, if torch knows it
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1  # so that processes of a restart do not look for those before
trap : TERM  # where SLURM sends it to this script as well

before=$(cat "$status" 2>/dev/null || true)
mapfile -t hosts < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
code=0
srun "$PYTHON" -m torch.distributed.run --nnodes "$SLURM_NNODES" --nproc-per-node "$SLURM_GPUS_ON_NODE" \
  --rdzv-backend c10d --rdzv-endpoint "${hosts[0]}:$((20000 + SLURM_JOB_ID % 10000))" --rdzv-id "$SLURM_JOB_ID" \
  --max-restarts "${RESTARTS:-3}" \
  -m scripts.train "$run" --scale "$SCALE" --seed "$SEED" --out "$OUT" "$@" || code=$?
after=$(cat "$status" 2>/dev/null || true)

# a training that was refused leaves the file as it was: it would be refused again
if [[ $after == *'"state": "preempted"'* && $after != "$before" ]]; then
  scontrol requeue "$SLURM_JOB_ID"
else
  echo "not put into the queue again: exit code $code, and $status is:" && echo "${after:-not there}"
fi
exit "$code"
