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

# One mpirun is killed: what it leaves goes, what others left stays.
case_real_mpirun_killed() {
  rm bin/mpirun
  hash -r
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  printf '%s\n' wait wait "finish done 0" "finish done 0" >doings
  mkdir tmp && export TMPDIR="$folder/tmp"
  "$root/jobs/launch.sh" -n 2 ./program score "two words" 2>err &
  while ! grep -qs running '" a run/status.json'; do sleep 0.05; done
  mkdir -p tmp/ompi.other.0/pid.1
  # Shared memory by the names that MPI gives it: of this mpirun's job and of another.
  local job ours others
  job=$(sed -n '1s/\..*//p' tmp/ompi.*/pid.*/contact.txt)
  ours=/dev/shm/vader_segment.test$$.$(id -u).$(printf '%x' $((job + 1))).0
  others=/dev/shm/vader_segment.test$$.$(id -u).$(printf '%x' $((job + 65537))).0
  touch "$ours" "$others"
  pkill -KILL -P $! mpirun || fail "no mpirun below launch.sh"
  code=0
  wait $! || code=$?
  [ "$code" = 0 ] || fail "exit code $code: $(cat err)"
  [ ! -e "$ours" ] || fail "shared memory is left"
  rm "$others" || fail "another job's shared memory is gone"
  left=$(find tmp -name 'pid.*')
  [ "$left" = tmp/ompi.other.0/pid.1 ] || fail "left in the temporary folder: $left"
}

if [ $# -eq 0 ]; then
  for name in $(compgen -A function case_); do bash "${BASH_SOURCE[0]}" "${name#case_}"; done
else
  trap tear_down EXIT
  set_up
  "case_$1"
  echo "$1: as it should be"
fi
