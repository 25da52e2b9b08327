# Checks of tests/slurm.sh, which reads this: what MPI ranks, jobs/launch.sh and the scripts do without the real program.
# shellcheck shell=bash disable=SC2154  # root, build, ranks: of slurm.sh

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
