#!/usr/bin/env bash
# What only Slurm can show, on a cluster of three nodes made for it on this machine (tests/support/programs/slurm_up.sh):
# slurm.sh [BUILD_FOLDER [CHECK...]], all checks or those named. Needs root, Slurm (jobs/install_dependencies.sh slurm)
# and the built tests; exits 77 where it is not root or Slurm is not there. Prints a table; exits 1 where a check fails.
# All take two to three minutes, of which ctest runs the three that matter most. Leaves nothing running.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$(cd "${1:-$root/build}" && pwd) || exit 64
wanted=("${@:2}")
ranks=$build/tests_mpi_ranks
for program in munged slurmctld slurmd srun; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not there: jobs/install_dependencies.sh slurm"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: Slurm's daemons need root here"; exit 77; }
work=$(mktemp -d)
export TMPDIR=$work

running=''
finish() {
  if [ -n "$running" ]; then kill "$running" 2>/dev/null; fi
  if [ -x "$work/cluster/down" ]; then "$work/cluster/down"; fi
  cd / && rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

[ -x "$ranks" ] || { echo "slurm.sh: $ranks is not built" >&2; exit 66; }
for name in $(compgen -e | grep -E '^(SLURM|OMPI|PMI|PMIX|TOVAMILL)_'); do unset "$name"; done
chmod 755 "$work"
"$root/tests/support/programs/slurm_up.sh" "$work/cluster" 3 2 "$((17000 + $$ % 1000 * 4))" || exit 1
# Where this script is killed, somebody must still end the cluster.
# shellcheck disable=SC2016  # the arguments come after it
setsid bash -c 'while kill -0 "$1"; do sleep 1; done; "$2/cluster/down"; rm -rf "$2"' _ $$ "$work" \
  </dev/null >/dev/null 2>&1 &
# shellcheck disable=SC1091  # made by slurm_up.sh
source "$work/cluster/environment"
cd "$work" || exit 1

n_failed=0
# Runs a check, a function that ends where something is not as it should be. What it says is shown then.
check() {  # FUNCTION CLAIM
  local start=$SECONDS code result=ok
  if [ "${#wanted[@]}" -gt 0 ] && [[ " ${wanted[*]} " != *" $1 "* ]]; then return; fi
  (
    set -euo pipefail
    mkdir "$work/$1" && cd "$work/$1"
    "$1"
  ) >"$work/$1.log" 2>&1 &
  running=$!  # in the background, so that a signal ends this script at once
  wait "$running"
  code=$? running=''
  if [ "$code" -ne 0 ]; then result=FAILED n_failed=$((n_failed + 1)); fi
  printf '%-8s %3d s  %s\n' "$result" "$((SECONDS - start))" "$2"
  if [ "$code" -ne 0 ]; then tail -n 40 "$work/$1.log" "$work/$1"/*.log 2>/dev/null | sed 's/^/    /'; fi
}

wait_until() {  # COMMAND...: 60 s at most, for the machine may be busy
  local end=$((SECONDS + 60))
  while [ "$SECONDS" -lt "$end" ]; do
    if "$@"; then return; fi
    kill -0 $$ || exit  # this script was killed
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

# shellcheck source=tests/support/programs/slurm_ranks.sh
source "$root/tests/support/programs/slurm_ranks.sh"
# shellcheck source=tests/support/programs/slurm_runs.sh
source "$root/tests/support/programs/slurm_runs.sh"
make_runs || exit 1

check ranks_on_three_nodes "ranks on three nodes exchange messages and broadcasts (srun --mpi=pmix)"
check ranks_without_pmix "the same after the ranks have left PMIx"
check death_of_a_rank "the others outlive a rank that is killed beside one of them"
check wrong_launcher "srun without --mpi=pmix is refused with 64, in one line"
check wrong_launcher_of_the_program "so is tovamill score under it, before it makes a run directory"
check launch_in_a_batch_job "launch.sh takes all tasks of a batch job"
check launch_of_a_wrong_command_line "launch.sh passes on the 64 of a wrong command line"
check requeue_before_the_limit "requeue.sbatch saves, goes back to the queue, and is done the second time"
check score_script "score.sbatch has the results of one process"
check array_and_merge "array.sbatch and merge.sbatch together have the results of one process"
check requeue_in_a_document "requeue.sbatch goes on in the middle of documents"
check cancelled_job "so does a job that was cancelled and is submitted again"
check killed_rank "a rank killed beside another costs no restart"
check killed_rank_with_pmix "with PMIx it costs one, which launch.sh does"
check killed_coordinator "so does rank 0"
check killed_node "a node that dies costs no restart"
[ "$n_failed" -eq 0 ] || { echo "$n_failed checks failed"; exit 1; }
