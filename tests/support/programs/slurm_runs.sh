# Checks of tests/slurm.sh, which reads this: the real program started by the scripts that we ship, edited as a user
# would. Whatever dies on the way, results.h5 must say to the bit what that of one process says.
# shellcheck shell=bash disable=SC2154  # root, build, work: of slurm.sh

# Long documents are longer than what a worker takes at once, so that several work on them.
make_runs() {
  mkdir "$work/program"
  ln -s "$root/jobs" "$work/program/jobs"
  ln -s "$build" "$work/program/build"
  "$build/make_tiny_run" "$work/tiny" 24 1 6 7600
  score=(score --model "$work/tiny/model" --corpus "$work/tiny/corpus" --cache-size 64 --token-nll --trace-state)
  "$build/tovamill" "${score[@]}" --out "$work/single" >"$work/single.log" 2>&1
}

# Copies a script of jobs/slurm here, with what stands between its lines made fit for this cluster.
edit() {  # SCRIPT EXPRESSION...: of sed, besides
  local script=$1 expressions=()
  shift
  for expression in "$@"; do expressions+=(-e "$expression"); done
  sed -e "s|^tovamill=.*|tovamill='$work/program'|" -e "s|^runs=.*|runs='$PWD'|" \
    -e "s|^arguments=.*|arguments=(${score[*]} --out '$PWD/run')|" \
    -e 's/--nodes=2$/--nodes=3/' -e 's/--ntasks-per-node=4$/--ntasks-per-node=2/' \
    -e 's/--cpus-per-task=8$/--cpus-per-task=1/' -e 's/--mem\(-per-cpu\)\{0,1\}=.*/--mem\1=200M/' \
    "${expressions[@]}" "$root/jobs/slurm/$script" >"$script"
}

job_value() {  # JOB KEY
  scontrol show job "$1" | sed -n "s/.*\b$2=\([^ ]*\).*/\1/p" | head -n 1
}

has_ended() { case "$(job_value "$1" JobState)" in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac; }

expect_end() {  # JOB EXIT_CODE
  wait_until has_ended "$1"
  echo "job $1: $(job_value "$1" JobState), exit code $(job_value "$1" ExitCode)"
  [ "$(job_value "$1" ExitCode)" = "$2:0" ]
}

status_says() {  # RUN KEY VALUE
  grep -qs "^  \"$2\": \"\{0,1\}$3\"\{0,1\},\{0,1\}\$" "$1/status.json"
}

expect_single() {  # RUN: is done, with the results of the single process
  status_says "$1" state "done"
  "$build/compare_results" "$work/single/results.h5" "$1/results.h5"
  [ ! -e "$1/states" ]
}

# Tokens that the ranks of this start of the run have computed.
tokens_computed() { awk '/^      "tokens":/ {n += $2} END {print n + 0}' "$1/status.json"; }

# A rank of the first start, not 0, that has begun a long document, in $rank.
rank_in_a_long_document() {
  rank=$(grep -lsa /long- run/journal/[1-9]-1.log | head -n 1)
  rank=${rank##*/}
  rank=${rank%-1.log}
  [ -n "$rank" ]
}

process_of() {  # JOB RANK
  local process
  for process in $(pgrep -x tovamill); do
    if has_variable "$process" SLURM_JOB_ID "$1" && has_variable "$process" SLURM_PROCID "$2" &&
      has_variable "$process" SLURM_STEP_ID '[0-9]*'; then
      echo "$process"
      return
    fi
  done
  return 1
}

has_variable() {  # PROCESS NAME PATTERN
  tr '\0' '\n' <"/proc/$1/environ" 2>/dev/null | grep -qx "$2=$3"
}

score_script() {
  local job
  edit score.sbatch
  job=$(sbatch --parsable score.sbatch)
  expect_end "$job" 0
  expect_single run
}

array_and_merge() {
  local array merge
  edit array.sbatch 's/--array=1-8$/--array=1-3/' 's/--ntasks=4$/--ntasks=2/' 's/^parts=8/parts=3/' \
    "s|^arguments=.*|arguments=(${score[*]})|"
  edit merge.sbatch
  array=$(sbatch --parsable array.sbatch)
  merge=$(sbatch --parsable --dependency=afterok:"$array" merge.sbatch)
  expect_end "$merge" 0
  "$build/compare_results" "$work/single/results.h5" merged/results.h5
}

# Waits until the work is under way, with something to save.
wait_for_work() {
  wait_until rank_in_a_long_document
  sleep 1
}

# After a start that was stopped in the middle.
expect_stopped() {
  status_says run state stopped
  status_says run exit_code 75
  compgen -G 'run/states/*.state'
  tokens_before=$(tokens_computed run)
  echo "tokens computed before the stop: $tokens_before"
  [ "$tokens_before" -gt 0 ]
}

# Documents went on in the middle: no token was computed twice.
expect_nothing_twice() {
  local all
  all=$(tokens_computed "$work/single")
  echo "and after it $(tokens_computed run), of $all"
  [ "$((tokens_before + $(tokens_computed run)))" -eq "$all" ]
}

requeue_in_a_document() {
  local job
  edit requeue.sbatch
  job=$(sbatch --parsable requeue.sbatch)
  wait_for_work
  scancel --batch --signal=USR1 "$job"
  wait_until state_is "$job" PENDING
  expect_stopped
  wait_until all_nodes_are_idle
  sleep 2  # in the second of its end a node refuses to start the same job again ("already killed")
  wait_until is_done_without_waiting "$job" >nudges 2>&1
  expect_end "$job" 0
  [ "$(job_value "$job" Restarts)" -eq 1 ]
  expect_nothing_twice
  expect_single run
}

cancelled_job() {
  local job
  edit score.sbatch
  job=$(sbatch --parsable score.sbatch)
  wait_for_work
  scancel "$job"
  wait_until has_ended "$job"
  expect_stopped
  expect_end "$(sbatch --parsable score.sbatch)" 0
  expect_nothing_twice
  expect_single run
}

kill_a_rank() {  # JOB
  wait_until rank_in_a_long_document
  echo "kills rank $rank"
  kill -KILL "$(process_of "$1" "$rank")"
}

killed_rank() {
  local job
  edit score.sbatch
  job=$(sbatch --parsable score.sbatch)
  kill_a_rank "$job"
  expect_end "$job" 0
  expect_single run
  [ "$(grep -c '"state": "dead"' run/status.json)" -eq 1 ]
  status_says run launch 1
}

# Slurm's PMIx ends the step with the rank.
killed_rank_with_pmix() {
  local job
  edit score.sbatch
  job=$(TOVAMILL_DETACH_PMIX=0 sbatch --parsable score.sbatch)
  kill_a_rank "$job"
  expect_end "$job" 0
  expect_single run
  grep 'starting again' tovamill-*.log
}

killed_coordinator() {
  local job
  edit score.sbatch
  job=$(sbatch --parsable score.sbatch)
  wait_for_work
  kill -KILL "$(process_of "$job" 0)"
  expect_end "$job" 0
  expect_single run
  grep 'starting again' tovamill-*.log
}

wrong_launcher_of_the_program() {
  local code=0
  srun --mpi=none -N 3 -n 6 "$build/tovamill" "${score[@]}" --out run >out 2>err || code=$?
  cat out err
  echo "srun exits with $code"
  [ "$code" -eq 64 ]
  [ "$(grep -c 'start with srun --mpi=pmix or jobs/launch.sh' err)" -eq 1 ]
  [ "$(grep -c 'tovamill: error' err)" -eq 1 ]
  [ ! -e run ]
}

# The daemons of the third node and all that runs there.
kill_node() {  # JOB
  local rank pid processes=() name daemon
  for rank in 4 5; do
    pid=$(process_of "$1" "$rank")
    has_variable "$pid" SLURMD_NODENAME n3
    processes+=("$pid" "$(sed -n 's/^PPid:\t//p' "/proc/$pid/status")")
  done
  while read -r daemon name; do
    if [ "$name" = slurmd ] && tr '\0' ' ' <"/proc/$daemon/cmdline" | grep -q -- '-N n3 $'; then
      processes+=("$daemon")
    fi
  done <"$work/cluster/daemons"
  echo "kills the processes ${processes[*]}"
  [ "${#processes[@]}" -eq 5 ]  # two ranks, their parents, slurmd
  mapfile -t processes < <(printf '%s\n' "${processes[@]}" | sort -u)  # the ranks have one parent
  kill -KILL "${processes[@]}"
}

# Its script has ended; Slurm itself goes on to wait for the node.
has_left() { case "$(job_value "$1" JobState)" in COMPLETING | COMPLETED | FAILED) ;; *) false ;; esac; }

killed_node() {
  local job
  edit score.sbatch
  job=$(sbatch --parsable score.sbatch)
  wait_for_work
  kill_node "$job"
  wait_until has_left "$job"
  [ "$(job_value "$job" ExitCode)" = 0:0 ]
  expect_single run
  [ "$(grep -c '"state": "dead"' run/status.json)" -eq 2 ]
  status_says run launch 1
}
