#!/usr/bin/env bash
# What only Slurm can show, on a cluster of three nodes made for it on this machine (tests/support/slurm_up.sh):
# slurm.sh [BUILD_FOLDER]. Needs root, Slurm (jobs/install_dependencies.sh slurm) and the built tests. Prints a table;
# exits 1 where a check fails. Takes less than a minute, and leaves nothing running.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 64
ranks=$build/tests_mpi_ranks
work=$(mktemp -d)

finish() {
  if [ -x "$work/cluster/down" ]; then "$work/cluster/down"; fi
  cd / && rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

[ -x "$ranks" ] || { echo "slurm.sh: $ranks is not built" >&2; exit 66; }
for name in $(compgen -e | grep -E '^(SLURM|OMPI|PMI|PMIX|TOVAMILL)_'); do unset "$name"; done
chmod 755 "$work"
"$root/tests/support/slurm_up.sh" "$work/cluster" 3 2 "$((17000 + $$ % 1000 * 4))" || exit 1
# shellcheck disable=SC1091  # made by slurm_up.sh
source "$work/cluster/environment"
cd "$work" || exit 1

n_failed=0
# Runs a check, a function of this file that ends where something is not as it should be. What it says is shown then.
check() {  # FUNCTION CLAIM
  local start=$SECONDS code result=ok
  (
    set -euo pipefail
    mkdir "$work/$1" && cd "$work/$1"
    "$1"
  ) >"$work/$1.log" 2>&1
  code=$?
  if [ "$code" -ne 0 ]; then result=FAILED n_failed=$((n_failed + 1)); fi
  printf '%-8s %3d s  %s\n' "$result" "$((SECONDS - start))" "$2"
  if [ "$code" -ne 0 ]; then sed 's/^/    /' "$work/$1.log"; fi
}

expect_ok() {  # FILE N_OK: so many ranks said that all was well
  cat "$1"
  [ "$(grep -c ': ok$' "$1")" -eq "$2" ]
}

ranks_on_three_nodes() {
  srun --mpi=pmix -N 3 -n 6 "$ranks" exchange >out
  expect_ok out 6
}

ranks_without_pmix() {
  TOVAMILL_DETACH_PMIX=1 srun --mpi=pmix -N 3 -n 6 "$ranks" exchange >out
  expect_ok out 6
}

# The rank that is killed has another beside it on its node: without leaving PMIx this ends the step.
death_of_a_rank() {
  local code=0
  TOVAMILL_DETACH_PMIX=1 srun --mpi=pmix -K0 -W0 --no-kill -N 2 -n 4 "$ranks" death >out || code=$?
  echo "srun exits with $code"
  [ "$code" -eq 137 ]
  expect_ok out 3
}

wrong_launcher() {
  local code=0
  srun --mpi=none -N 3 -n 3 "$ranks" exchange >out 2>err || code=$?
  cat out err
  echo "srun exits with $code"
  [ "$code" -eq 64 ]
  [ "$(grep -c 'start with srun --mpi=pmix or jobs/launch.sh' err)" -eq 1 ]
  [ "$(grep -c 'tovamill: error' err)" -eq 1 ]
}

launch_in_a_batch_job() {
  local code=0
  sbatch --quiet --wait -N 3 -n 6 -o out --wrap "'$root/jobs/launch.sh' '$ranks' exchange" || code=$?
  echo "the job exits with $code"
  expect_ok out 6
  [ "$code" -eq 0 ]
}

launch_of_a_wrong_command_line() {
  local code=0
  sbatch --quiet --wait -n 2 -o out --wrap "'$root/jobs/launch.sh' '$build/tovamill' score --frobnicate" || code=$?
  cat out
  echo "the job exits with $code"
  [ "$code" -eq 64 ]
}

# A stand-in for the program below a folder as requeue.sbatch expects it: stops when told the first time, then is done.
make_stand_in() {
  mkdir -p "tovamill/build" run
  ln -s "$root/jobs" tovamill/jobs
  cat >tovamill/build/tovamill <<'PROGRAM'
#!/usr/bin/env bash
if [ "${*: -1}" = --print-config ]; then echo "out = $PWD/run"; exit 0; fi
status() {
  printf '{\n  "exit_code": %s,\n  "launch_id": "%s",\n  "state": "%s"\n}\n' "$2" "$TOVAMILL_LAUNCH_ID" "$1" \
    >run/status.tmp && mv run/status.tmp run/status.json
}
finish() { if [ "$SLURM_PROCID" -eq 0 ]; then echo "$1" >>run/ends; status "$1" "$2"; fi; exit "$2"; }
trap 'finish stopped 75' USR1
if [ -n "${SLURM_RESTART_COUNT:-}" ]; then finish done 0; fi
if [ "$SLURM_PROCID" -eq 0 ]; then status running null; fi
while true; do sleep 0.1; done
PROGRAM
  chmod +x tovamill/build/tovamill
}

wait_until() {  # COMMAND...: 20 s at most
  for _ in {1..100}; do
    if "$@"; then return; fi
    sleep 0.2
  done
  echo "never: $*"
  return 1
}

all_nodes_are_idle() { [ "$(sinfo --noheader --Node --format=%T | grep -c '^idle$')" -eq 3 ]; }
state_of() { scontrol show job "$1" | sed -n 's/ *JobState=\([A-Z]*\).*/\1/p'; }
# Slurm lets a job that went back wait for two minutes.
is_done_without_waiting() {
  state_is "$1" COMPLETED || { scontrol update jobid="$1" StartTime=now || true; false; }
}
state_is() { [ "$(state_of "$1")" = "$2" ]; }

requeue_before_the_limit() {
  local job
  make_stand_in
  job=$(TOVAMILL=$PWD/tovamill sbatch --parsable -N 2 --ntasks-per-node=1 --cpus-per-task=1 -o out \
    "$root/jobs/slurm/requeue.sbatch")
  wait_until grep -qs running run/status.json
  scancel --batch --signal=USR1 "$job"
  wait_until state_is "$job" PENDING
  wait_until all_nodes_are_idle
  sleep 2  # in the second of its end a node refuses to start the same job again ("already killed")
  [ "$(cat run/ends)" = stopped ]
  wait_until is_done_without_waiting "$job" >nudges 2>&1 || {
    scontrol show job "$job"
    cat out run/ends
    return 1
  }
  [ "$(tail -n 1 run/ends)" = "done" ]
}

check ranks_on_three_nodes "ranks on three nodes exchange messages and broadcasts (srun --mpi=pmix)"
check ranks_without_pmix "the same after the ranks have left PMIx"
check death_of_a_rank "the others outlive a rank that is killed beside one of them"
check wrong_launcher "srun without --mpi=pmix is refused with 64, in one line"
check launch_in_a_batch_job "launch.sh takes all tasks of a batch job"
check launch_of_a_wrong_command_line "launch.sh passes on the 64 of a wrong command line"
check requeue_before_the_limit "requeue.sbatch saves, goes back to the queue, and is done the second time"
[ "$n_failed" -eq 0 ] || { echo "$n_failed checks failed"; exit 1; }
