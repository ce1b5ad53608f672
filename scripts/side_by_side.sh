# Sourced by experiments/common.sh: `start_job` runs commands side by side, `end_jobs` waits for them.
#   JOBS  how many at once. Default: at a mini scale the number of cores, at most 4; else 1, and with GPUS also 1
# Each of several jobs has its share of the cores (OMP_NUM_THREADS): a thin network trains hardly faster with two.
cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
running=0 failure=0

default_jobs() { # default_jobs SCALE
  case $1 in mini*) ;; *) echo 1; return ;; esac
  if [ "$GPUS" != 1 ] || ! knows_wait_n; then echo 1; else echo $((cores < 4 ? cores : 4)); fi
}

knows_wait_n() { ((BASH_VERSINFO[0] > 4 || (BASH_VERSINFO[0] == 4 && BASH_VERSINFO[1] >= 3))); }

check_jobs() {
  [[ $JOBS =~ ^[1-9][0-9]*$ ]] || { echo "error: JOBS is '$JOBS'; give a whole number of at least 1." >&2; exit 2; }
  [ "$JOBS" = 1 ] || knows_wait_n || { echo "error: JOBS=$JOBS needs bash 4.3 or newer, and this is $BASH_VERSION; leave JOBS out." >&2; exit 2; }
}

start_job() { # start_job NAME COMMAND...: as soon as fewer than JOBS run; what it prints begins with [NAME] then
  local name=$1
  shift
  if [ "$JOBS" = 1 ]; then
    "$@"
    return
  fi
  ((running < JOBS)) || end_job
  [ "$failure" = 0 ] || { end_jobs; return; }
  trap 'trap - INT; wait; exit 130' INT # Ctrl-C reaches the trainings too: they save a checkpoint and end
  {
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > JOBS ? cores / JOBS : 1))}
    "$@" 2>&1 | while IFS= read -r line; do printf '[%s] %s\n' "$name" "$line"; done
  } &
  running=$((running + 1))
}

end_job() { # waits until one of them has ended
  local code=0
  wait -n || code=$?
  running=$((running - 1))
  [ "$failure" != 0 ] || failure=$code
}

end_jobs() { # waits until all have ended; returns the exit code of the first that failed
  while ((running > 0)); do end_job; done
  return "$failure"
}
