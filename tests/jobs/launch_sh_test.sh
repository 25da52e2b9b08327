#!/usr/bin/env bash
# jobs/launch.sh with a stand-in for the program and, where it matters, for mpirun: launch_sh_test.sh CASE, or without
# one all cases. A stand-in's doings are told by the lines of a file: the first start does what the first line says, ...
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
for name in $(compgen -e | grep -E '^(SLURM|OMPI|PMI|PMIX|TOVAMILL)_'); do unset "$name"; done

fail() { echo "FAILED: $*" >&2; exit 1; }

# A folder with blanks and quotes in its name, with the stand-ins in it.
set_up() {
  work=$(mktemp -d)
  folder="$work/a \"folder\" \\ of runs"
  mkdir -p "$folder/bin"
  cd "$folder"
  cat >program <<'PROGRAM'
#!/usr/bin/env bash
cd "$(dirname "$0")"
run='" a run'  # needs quotes in an INI file
if [ "${*: -1}" = --print-config ]; then
  [ "$1" != wrong ] || { echo "tovamill: error: wrong" >&2; exit 64; }
  [ "$1 ${*: -2:1}" != "lacking --check" ] || { echo "tovamill: error: no model" >&2; exit 66; }
  printf 'model = m\nout = "\\" a run"\nthreads = 0\n'
  exit 0
fi
[ "$1 $2" = "score two words" ] || exit 1
echo "$TOVAMILL_LAUNCH_ID" >>launches
doing=$(sed -n "$(wc -l <launches)p" doings)
mkdir -p "$run/journal"
status() {  # STATE EXIT_CODE [LAUNCH_ID [DOCUMENTS]]
  printf '{\n  "documents": '"${4-0}"',\n  "failed": 0,\n  "exit_code": %s,\n  "launch_id": "%s",\n  "message": "a \\"state\\": \\"done\\"",\n  "ranks": [\n    {\n      "state": "done"\n    }\n  ],\n  "state": "%s"\n}\n' \
    "$2" "${3-$TOVAMILL_LAUNCH_ID}" "$1" >"$run/status.json.tmp"
  mv "$run/status.json.tmp" "$run/status.json"
}
finish() { status "$@"; echo "$2" >"$TOVAMILL_EXIT_FILE"; exit "$2"; }
case "$doing" in
  finish*) read -r _ state code <<<"$doing"; finish "$state" "$code" ;;
  linger*) read -r _ state code <<<"$doing"; status "$state" "$code"; trap '' "${LINGER:-USR1}"; exec sleep 1000 ;;
  crash) status running null; kill -KILL $$ ;;
  progress) status running null "$TOVAMILL_LAUNCH_ID" "$(wc -l <launches)"; kill -KILL $$ ;;
  journal) status running null; echo header >>"$run/journal/$(wc -l <launches).log"; kill -KILL $$ ;;
  silent) kill -KILL $$ ;;
  early*) read -r _ code <<<"$doing"; echo "$code" >"$TOVAMILL_EXIT_FILE"; exit "$code" ;;
  stale) status done 0 "of an earlier launch"; kill -KILL $$ ;;
  freeze) status running null; exec sleep 1000 ;;
  wait)
    trap 'echo stopping >signals; finish stopped 75' USR1
    trap 'echo TERM >>signals' TERM
    status running null
    while [ -e "$run" ]; do sleep 0.1; done ;;  # not for ever, where nobody stops it
esac
PROGRAM
  # Says 0 whatever happens, as the real one does with --enable-recovery, and hands on what it is sent.
  cat >bin/mpirun <<'MPIRUN'
#!/usr/bin/env bash
echo "$*" >>mpirun_calls
echo "$OMPI_MCA_reachable" >reachable
[ "$(sed -n 1p mpirun_fails 2>/dev/null)" != "$(wc -l <mpirun_calls)" ] || { echo "no such host" >&2; exit 255; }
while [ "$1" != ./program ]; do shift; done
"$@" &
trap 'kill -USR1 $!' USR1
trap 'kill -KILL $!; exit 1' TERM
while kill -0 $! 2>/dev/null; do wait $!; done
exit 0
MPIRUN
  chmod +x program bin/mpirun
  PATH="$folder/bin:$PATH"
}

tear_down() { cd /; rm -rf "$work"; }

# Runs launch.sh with these options; sets $code and $n_launches, and leaves standard error in the file err.
launch() {
  code=0
  "$root/jobs/launch.sh" "$@" ./program score "two words" 2>err || code=$?
  n_launches=$(wc -l <launches)
}

expect() {  # CODE N_LAUNCHES
  [ "$code" = "$1" ] || fail "exit code $code, not $1: $(cat err)"
  [ "$n_launches" = "$2" ] || fail "$n_launches launches, not $2: $(cat err)"
}

case_done() { echo "finish done 0" >doings; launch; expect 0 1; }

case_done_under_mpirun() {
  echo "finish done 0" >doings
  launch -n 2
  expect 0 1
  grep -q -- '--enable-recovery .*-n 2 .*-x TOVAMILL_LAUNCH_ID' mpirun_calls || fail "mpirun got $(cat mpirun_calls)"
}

case_failed() { echo "finish failed 65" >doings; launch -n 2; expect 65 1; }

case_crash_then_success() {
  printf '%s\n' crash silent "finish done 0" >doings
  launch -n 2
  expect 0 3
  [ "$(sort -u launches | wc -l)" = 3 ] || fail "launches share an id"
}

case_lost_then_success() { printf '%s\n' "finish lost 75" "finish done 0" >doings; launch -n 2; expect 0 2; }

case_status_of_another_launch() { printf '%s\n' stale "finish done 0" >doings; launch -n 2; expect 0 2; }

case_restart_limit() {
  printf '%s\n' crash crash crash >doings
  launch --max-restarts 1 -n 2
  expect 75 2
  grep -q "2 starts in a row were lost" err || fail "$(cat err)"
}

case_progress_renews_the_limit() {
  printf '%s\n' crash progress progress "finish done 0" >doings
  launch --max-restarts 1 -n 2
  expect 0 4
}

# Every start makes new journals: that is no progress.
case_journals_alone_are_no_progress() {
  printf '%s\n' journal journal journal journal >doings
  launch --max-restarts 1 -n 2
  expect 75 2
}

case_errors_before_the_run_directory() {
  echo "early 66" >doings
  launch -n 2
  expect 66 1
}

case_the_launchers_own_code() {
  printf '%s\n' "early 66" >doings
  # shellcheck disable=SC2016  # the program's words
  sed -i 's/echo "$code" >"$TOVAMILL_EXIT_FILE"; //' program
  launch
  expect 66 1
}

case_a_held_run_directory_is_tried_again() {
  printf '%s\n' crash "early 78" "finish done 0" >doings
  launch -n 2
  expect 0 3
}

# What all tasks would find wrong at once is found before mpirun, which may lose what they say of it.
case_errors_before_mpirun() {
  local code=0
  "$root/jobs/launch.sh" -n 2 ./program lacking 2>err || code=$?
  [ "$code $(cat err)" = "66 tovamill: error: no model" ] || fail "$code: $(cat err)"
  [ ! -e mpirun_calls ] || fail "mpirun was started"
}

case_hostfile() {
  printf '# two hosts\n\nlocalhost slots=2\nnode2\n' >hosts
  echo "finish done 0" >doings
  launch -n 3 --hostfile hosts
  expect 0 1
  grep -q -- '-n 3 .*--hostfile hosts .*\./program' mpirun_calls || fail "mpirun got $(cat mpirun_calls)"
}

case_hostfile_for_one_task() {
  echo localhost >hosts
  echo "finish done 0" >doings
  launch --hostfile hosts
  expect 0 1
  grep -q -- '-n 1 .*--hostfile hosts ' mpirun_calls || fail "mpirun got $(cat mpirun_calls)"
}

# Stand-ins: a full disk, and a folder in which no file can be made (root can in any that is there).
case_temporary_folder_that_cannot_be() {
  printf '#!/bin/sh\nprintf "Filesystem 1024-blocks\\ntmpfs 20000 %%s 16383 60%% /tmp\\n" 3617\n' >bin/df
  chmod +x bin/df
  echo "finish done 0" >doings
  : >launches
  launch -n 2
  expect 74 0
  grep -q ' has 16383 KiB free, and mpirun needs 16384: ' err || fail "said: $(cat err)"
  [ "$(wc -l <err)" = 1 ] || fail "more than a line: $(cat err)"
  launch  # without mpirun
  expect 0 1
  rm bin/df
  TMPDIR=$PWD/nothing launch -n 2
  expect 73 1
  grep -q ' no temporary file can be made in .*/nothing: ' err || fail "said: $(cat err)"
  [ "$(wc -l <err)" = 1 ] || fail "more than a line: $(cat err)"
}

# Open MPI 5 takes no notice of it.
case_hostfile_of_the_environment() {
  echo localhost >hosts
  echo "finish done 0" >doings
  OMPI_MCA_orte_default_hostfile=hosts launch -n 2
  expect 0 1
  grep -q -- '--hostfile hosts ' mpirun_calls || fail "mpirun got $(cat mpirun_calls)"
}

refuses_hostfile() {  # CODE TEXT OPTIONS...
  local code=0
  "$root/jobs/launch.sh" "${@:3}" -n 2 ./program score "two words" 2>err || code=$?
  [ "$code" = "$1" ] || fail "${*:3} gives $code: $(cat err)"
  [ "$(wc -l <err)" = 1 ] || fail "${*:3} gives more than a line: $(cat err)"
  grep -q "$2" err || fail "${*:3} gives $(cat err)"
  [ ! -e mpirun_calls ] || fail "mpirun was started"
  [ ! -e launches ] || fail "the program was started"
}

case_hostfiles_that_cannot_be() {
  : >empty
  printf '# node1\n  \n' >comments
  refuses_hostfile 66 "nothing does not exist" --hostfile nothing
  refuses_hostfile 66 "does not exist or cannot be read" --hostfile bin
  refuses_hostfile 78 "empty names no host" --hostfile empty
  refuses_hostfile 78 "comments names no host" --hostfile comments
  refuses_hostfile 64 "is empty" --hostfile ""
  if [ "$(id -u)" -ne 0 ]; then
    echo node1 >secret && chmod 0 secret
    refuses_hostfile 66 "cannot be read" --hostfile secret
  fi
  printf '#!/bin/sh\necho called >mpirun_calls\n' >bin/srun && chmod +x bin/srun
  echo node1 >hosts
  SLURM_JOB_ID=1 refuses_hostfile 64 "srun takes the nodes of the allocation" --hostfile hosts
}

case_a_host_that_cannot_be_reached() {
  echo node1 >hosts
  : >launches
  echo 1 >mpirun_fails
  launch -n 2 --hostfile hosts
  expect 69 0
  [ "$(wc -l <mpirun_calls)" = 1 ] || fail "mpirun was started again"
  tail -n 1 err | grep -q "could not start the tasks (its code 255): can every host of hosts be reached by ssh?" ||
    fail "$(cat err)"
}

# A node that starts again may come back.
case_a_host_that_is_gone_later() {
  echo node1 >hosts
  echo 2 >mpirun_fails
  printf '%s\n' crash "finish done 0" >doings
  launch -n 2 --hostfile hosts
  expect 0 2
  [ "$(wc -l <mpirun_calls)" = 3 ] || fail "mpirun was started $(wc -l <mpirun_calls) times"
}

case_hosts_that_do_not_answer() {
  echo node1 >hosts
  : >launches
  printf '#!/usr/bin/env bash\necho >>mpirun_calls\nexec sleep 1000\n' >bin/mpirun
  launch -n 2 --hostfile hosts --stall-seconds 1
  expect 69 0
  [ "$(wc -l <mpirun_calls)" = 1 ] || fail "mpirun was started again"
}

case_a_real_host_that_cannot_be_reached() {
  real_mpirun
  echo no-such-host.invalid >hosts
  : >launches
  launch -n 2 --hostfile hosts
  expect 69 0
  tail -n 1 err | grep -q "can every host of hosts be reached by ssh?" || fail "$(cat err)"
}

# Open MPI 5's own choice would warn of every pair of tasks on a host.
case_how_interfaces_are_chosen() {
  printf '%s\n' "finish done 0" "finish done 0" >doings
  launch -n 2
  [ "$(cat reachable)" = weighted ] || fail "OMPI_MCA_reachable=$(cat reachable)"
  OMPI_MCA_reachable=netlink launch -n 2
  [ "$(cat reachable)" = netlink ] || fail "OMPI_MCA_reachable=$(cat reachable)"
}

case_wrong_command_lines() {
  local code
  for words in "-n 0 ./program" "-n x ./program" "--frobnicate ./program" "" "./nothing" "-n" "-N 2 ./program" \
    "./program wrong"; do
    code=0
    # shellcheck disable=SC2086  # split on purpose
    "$root/jobs/launch.sh" $words >out 2>err || code=$?
    [ "$code" = 64 ] || fail "'$words' gives $code: $(cat err)"
    [ "$(wc -l <err)" = 1 ] || fail "'$words' gives more than a line: $(cat err)"
  done
  [ ! -e launches ] || fail "it was started"
  "$root/jobs/launch.sh" -h | grep -q '^Usage: jobs/launch.sh' || fail "no manual"
}

# SIGNAL to launch.sh once the program runs; the program stops in its own way.
stop_by() {
  echo wait >doings
  "$root/jobs/launch.sh" -n 2 -- ./program score "two words" 2>err &
  while ! grep -qs running '" a run/status.json'; do sleep 0.05; done
  kill "-$1" $!
  code=0
  wait $! || code=$?
  n_launches=$(wc -l <launches)
  expect 75 1
  [ "$(cat signals)" = stopping ] || fail "the program got $(cat signals)"
}
case_usr1() { stop_by USR1; }
case_term() { stop_by TERM; }

# A launcher that stays after the end is stopped; one that ignores TERM, too.
case_lingering() { echo "linger done 0" >doings; launch; expect 0 1; }
case_lingering_deaf() { echo "linger failed 74" >doings; LINGER=TERM launch; expect 74 1; }

case_stall() { printf '%s\n' freeze "finish done 0" >doings; launch --stall-seconds 1; expect 0 2; }

real_mpirun() {
  rm bin/mpirun
  hash -r
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
}

# One mpirun is killed: what it leaves goes, what others left stays.
case_real_mpirun_killed() {
  real_mpirun
  printf '%s\n' wait wait "finish done 0" "finish done 0" >doings
  mkdir tmp && export TMPDIR="$folder/tmp"
  "$root/jobs/launch.sh" -n 2 ./program score "two words" 2>err &
  while ! grep -qs running '" a run/status.json'; do sleep 0.05; done
  mkdir -p tmp/ompi.other.0/pid.1 tmp/prterun.other.1.0
  # Shared memory by the names that Open MPI 4.1 gives it: of this mpirun's job and of another.
  local job ours=() others
  job=$(sed -n '1s/\..*//p' tmp/ompi.*/pid.*/contact.txt 2>/dev/null) || true
  others=/dev/shm/vader_segment.test$$.$(id -u).$(printf '%x' $((${job:-0} + 65537))).0
  if [ -n "$job" ]; then ours=("/dev/shm/vader_segment.test$$.$(id -u).$(printf '%x' $((job + 1))).0"); fi
  touch "${ours[@]}" "$others"
  pkill -KILL -P $! '^(mpirun|prterun)$' || fail "no mpirun below launch.sh"
  code=0
  wait $! || code=$?
  [ "$code" = 0 ] || fail "exit code $code: $(cat err)"
  rm "$others" || fail "another job's shared memory is gone"
  for job in "${ours[@]}"; do [ ! -e "$job" ] || fail "shared memory is left"; done
  left=$(find tmp -name 'pid.*' -o -name 'prterun.*' | sort | tr '\n' ' ')
  [ "$left" = "tmp/ompi.other.0/pid.1 tmp/prterun.other.1.0 " ] || fail "left in the temporary folder: $left"
}

# The same with what Open MPI 5 leaves; bd5e and 956 are its own numbers of jobs of these names.
case_mpirun_of_5_killed() {
  local n others job
  cat >bin/mpirun <<'MPIRUN'
#!/usr/bin/env bash
n=$(wc -l 2>/dev/null <sessions) || n=0
[ "$n" -lt 2 ] || { while [ "$1" != ./program ]; do shift; done; exec "$@"; }
session=$TMPDIR/prterun.node.$$.$(id -u)
echo "$session" >>sessions
job=$(sed -n "$((n + 1))p" names)
mkdir -p "$session/1/0"
touch "$session/pmix.node.tool.$job@0" "$session/pmix.node.tool.$$"
kill -KILL $$
MPIRUN
  mkdir tmp && export TMPDIR="$folder/tmp"
  printf '%s\n' prterun-vm-27556 prterun-vm-27820 >names
  echo "finish done 0" >doings
  n=/dev/shm/sm_segment.test$$.$(id -u)
  others=("$n.bd5f0001.0" "$n.19560001.0" "/dev/shm/sm_segment.test$$.1$(id -u).bd5e0001.0")
  touch "$n".{bd5e0001.0,bd5e0001.13,9560001.1} "${others[@]}"
  launch -n 2
  expect 0 1
  [ "$(wc -l <sessions)" = 2 ] || fail "killed $(wc -l <sessions) times"
  rm "${others[@]}" || fail "another job's shared memory is gone"
  for job in "$n".*; do [ ! -e "$job" ] || fail "$job is left"; done
  [ -z "$(ls tmp)" ] || fail "left in the temporary folder: $(ls tmp)"
}

# mpirun of 5 itself ends well, but a task that was killed has left its shared memory.
case_tasks_of_5_killed() {
  sed -n '/^number_of_job()/,/^}/p' "$root/jobs/launch.sh" >number_of_job
  cat >bin/mpirun <<MPIRUN
#!/usr/bin/env bash
source ./number_of_job
number=\$(printf '%x' "\$(number_of_job "prterun-\$(hostname)-\$\$")")
touch "/dev/shm/sm_segment.test$$.\$(id -u).\${number}0001.1"
while [ "\$1" != ./program ]; do shift; done
exec "\$@"
MPIRUN
  echo "finish done 0" >doings
  launch -n 2
  expect 0 1
  for left in "/dev/shm/sm_segment.test$$".*; do [ ! -e "$left" ] || fail "$left is left"; done
}

if [ $# -eq 0 ]; then
  for name in $(compgen -A function case_); do bash "${BASH_SOURCE[0]}" "${name#case_}"; done
else
  trap tear_down EXIT
  set_up
  "case_$1"
  echo "$1: as it should be"
fi
