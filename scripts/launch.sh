# Sourced by experiments/common.sh and the Makefile: `launch` starts a command alone, or in several processes by torchrun.
#   GPUS      processes on this machine, one a GPU; without GPUs they share the CPU (default 1)
#   RESTARTS  how often torchrun starts them anew after one of them has failed (default 0)
#   PYTHON    the interpreter
# Neither changes a result. docs/scaling.md has more.
GPUS=${GPUS:-1} RESTARTS=${RESTARTS:-0}
[[ $GPUS =~ ^[1-9][0-9]*$ ]] || { echo "error: GPUS is '$GPUS'; give a whole number of at least 1." >&2; exit 2; }
[[ $RESTARTS =~ ^(0|[1-9][0-9]*)$ ]] || { echo "error: RESTARTS is '$RESTARTS'; give a whole number of at least 0." >&2; exit 2; }

check_paths() { # check_paths NAME...: what each of these variables names is there; "auto" and "none" are no paths
  local name
  for name; do
    case ${!name} in '' | auto | none) ;; *)
      [ -e "${!name}" ] || { echo "error: $name is '${!name}', which does not exist; give a path that is there." >&2; exit 2; } ;;
    esac
  done
}

launch() { # launch PROCESSES MODULE OPTIONS...: for the commands that torchrun may start
  local processes=$1 code=0
  shift
  if [ "$processes" = 1 ] && [ "$RESTARTS" = 0 ]; then
    "$PYTHON" -m "$@"
    return
  fi
  "$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$processes" --max-restarts "$RESTARTS" -m "$@" || code=$?
  [ "$code" = 0 ] && return
  echo "error: $1 ${2:-} has ended before its end. torchrun does not pass on the exit codes of its processes; what they printed above says why." >&2
  [ "$1" != scripts.train ] ||
    echo "status.json in the folder of the run says how it ended: after \"preempted\" and \"running\" the same command continues." >&2
  return "$code"
}
