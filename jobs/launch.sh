#!/usr/bin/env bash
set -uo pipefail

manual() {
  cat <<'MANUAL'
Usage: jobs/launch.sh [-n TASKS] [-N NODES] [options] [--] PROGRAM [ARGUMENTS...]
  jobs/launch.sh -n 8 build/tovamill score --model M --corpus texts/ --out run1

Starts PROGRAM as several tasks so that the death of some does not end the others, starts it again where all are lost,
and exits with the program's own code. In a Slurm allocation the tasks are started by srun, elsewhere by Open MPI's
mpirun; one task outside Slurm is started as it is.

  -n, --tasks TASKS      tasks to start (in a Slurm allocation all of its tasks, elsewhere 1)
  -N, --nodes NODES      nodes to spread them over (Slurm only)
  --hostfile FILE        hosts for mpirun, a line `HOST slots=TASKS` each (not in a Slurm allocation). They must be
                         reachable by ssh without a password, and see the same paths as this one
  --max-restarts K       starts in a row that may get lost without a finished document (10); a number of starts that
                         get on is no matter
  --stall-seconds S      a run that is `running` but has not renewed its status.json for so long is taken for lost
                         (600; 0: never); with a hostfile so is one that does not begin for so long
  -h, --help             this text

SIGUSR1, SIGTERM and SIGINT tell the program to save its work and stop (all three reach it as SIGUSR1, since launchers
leave tasks little time after SIGTERM); it is then not started again. A second SIGTERM or SIGINT stops it at once.

Before anything is started, options, model, corpus and run directory are checked on this host.

Exit codes: those of the program; 75 too where all starts were lost (the finished work is kept: start again); 64 for a
wrong command line; 66 or 78 for a hostfile that cannot be read or is empty; 69 where mpirun could not start the tasks,
for instance because a host cannot be reached; 73 or 74 where the folder of temporary files (TMPDIR, else /tmp) is
read-only or full. mpirun's own code says nothing after deaths, so the code is taken from status.json in the run
directory (--out), and where the program did not get so far, from the file TOVAMILL_EXIT_FILE.

Open MPI 4.1 and 5 are known. OMPI_MCA_orte_default_hostfile, which 5 ignores, is taken for --hostfile. In Slurm the
tasks take leave of PMIx once started, for Slurm's PMIx ends all with the first that dies; TOVAMILL_DETACH_PMIX=0 leaves
them with it, and every death then costs a start.

What PROGRAM must do: with `--check --print-config` behind its arguments say what is wrong with them and exit, or print
`out = DIR` (quoted with \n \r \t \" \\ where it begins with a quote); keep DIR/status.json, an object written one key a
line, indented by two blanks, with "state" (starting, running, merging; at the end done, stopped, failed, or lost: start
again), "exit_code" at the end, and "launch_id", the text of TOVAMILL_LAUNCH_ID; renew that file every few seconds while
`running`; let rank 0 write its exit code into the file TOVAMILL_EXIT_FILE; say in "documents" and "failed" of
status.json how many documents are finished, those of earlier starts included; take leave of PMIx once started where
TOVAMILL_DETACH_PMIX=1.
MANUAL
}

say() { echo "launch.sh: $*" >&2; }
refuse_with() { say "${*:2}"; exit "$1"; }  # CODE TEXT...
refuse() { refuse_with 64 "$@"; }

number() {  # OPTION VALUE SMALLEST
  if ! [[ "$2" =~ ^[0-9]{1,9}$ ]] || [ "$((10#$2))" -lt "$3" ]; then
    refuse "$1 '$2' is not a whole number of at least $3"
  fi
  echo "$((10#$2))"
}

n_tasks='' n_nodes='' hostfile='' max_restarts=10 stall_s=600
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    -n | --tasks | -N | --nodes | --hostfile | --max-restarts | --stall-seconds)
      [ $# -ge 2 ] || refuse "$1 needs a value"
      case "$1" in
        -n | --tasks) n_tasks=$(number "$1" "$2" 1) || exit ;;
        -N | --nodes) n_nodes=$(number "$1" "$2" 1) || exit ;;
        --hostfile) hostfile=$2; [ -n "$hostfile" ] || refuse "--hostfile '' is empty: name a file of hosts" ;;
        --max-restarts) max_restarts=$(number "$1" "$2" 0) || exit ;;
        --stall-seconds) stall_s=$(number "$1" "$2" 0) || exit ;;
      esac
      shift 2 ;;
    --) shift; break ;;
    -*) refuse "unknown option '$1' (see jobs/launch.sh --help; options of the program come after it)" ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || refuse "no program given (see jobs/launch.sh --help)"
command -v -- "$1" >/dev/null || refuse "$1 cannot be run (is it built, and is the path right?)"
program=("$@")

in_slurm=no
if [ -n "${SLURM_JOB_ID:-}" ] && command -v srun >/dev/null; then in_slurm=yes; fi
if [ -z "$n_tasks" ]; then
  n_tasks=1
  if [ "$in_slurm" = yes ]; then n_tasks=${SLURM_NTASKS:-1}; fi
fi
if [ "$in_slurm" = no ] && [ -n "$n_nodes" ]; then refuse "-N is for Slurm allocations; mpirun takes a --hostfile"; fi
if [ "$in_slurm" = yes ] && [ -n "$hostfile" ]; then
  refuse "--hostfile is for mpirun; in this Slurm allocation srun takes the nodes of the allocation: leave it out"
fi
if [ "$in_slurm" = no ]; then hostfile=${hostfile:-${OMPI_MCA_orte_default_hostfile:-}}; fi
if [ -n "$hostfile" ]; then
  if [ ! -f "$hostfile" ] || [ ! -r "$hostfile" ]; then
    refuse_with 66 "the hostfile $hostfile does not exist or cannot be read"
  fi
  grep -qE '^[[:space:]]*[^#[:space:]]' "$hostfile" ||
    refuse_with 78 "the hostfile $hostfile names no host: give it a line 'HOST slots=TASKS' for each"
fi

# Tasks that wait in start-up leave the cores to those that read the model.
export OMPI_MCA_mpi_yield_when_idle=1
# Open MPI 5 by itself asks the kernel for routes, finds none between two tasks of a host, and warns of each pair.
export OMPI_MCA_reachable=${OMPI_MCA_reachable:-weighted}

# What to put before the program.
starter=()
if [ "$in_slurm" = yes ]; then
  starter=(srun --mpi=pmix -K0 -W0 --no-kill -n "$n_tasks")
  if [ -n "$n_nodes" ]; then starter+=(-N "$n_nodes"); fi
  # Since 22.05 srun does not take this over from the allocation.
  if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then starter+=(-c "$SLURM_CPUS_PER_TASK"); fi
  export TOVAMILL_DETACH_PMIX=${TOVAMILL_DETACH_PMIX:-1}
elif [ "$n_tasks" -gt 1 ] || [ -n "$hostfile" ]; then
  command -v mpirun >/dev/null || refuse "mpirun is not there: install Open MPI (openmpi-bin)"
  starter=(mpirun --enable-recovery --oversubscribe --bind-to none -n "$n_tasks"
           -x TOVAMILL_LAUNCH_ID -x TOVAMILL_EXIT_FILE -x TOVAMILL_RESTARTS
           -x TOVAMILL_JOB)
  if [ -n "$hostfile" ]; then starter+=(--hostfile "$hostfile"); fi
  if [ "$(id -u)" -eq 0 ]; then starter+=(--allow-run-as-root); fi
fi

stop_asked=no stop_passed_on=no stop_twice=no launcher=''
ask_to_stop() {  # SIGNAL
  if [ "$stop_asked" = yes ] && [ "$1" != USR1 ]; then stop_twice=yes; fi
  stop_asked=yes
}
trap 'ask_to_stop USR1' USR1
trap 'ask_to_stop TERM' TERM
trap 'ask_to_stop INT' INT

# The run directory, in $run_directory; empty where the program has none. Exits with the program's line and code where
# it could not start: of tasks that all fail at once mpirun may lose what they say.
find_run_directory() {
  local config line
  config=$(env -u OMPI_COMM_WORLD_SIZE -u PMI_SIZE -u SLURM_STEP_ID "${program[@]}" --check --print-config </dev/null) ||
    exit
  line=$(sed -n 's/^out = //p' <<<"$config" | head -n 1)
  if [[ "$line" == '"'*'"' ]]; then
    line=${line#\"}
    line=${line%\"}
    # %b leaves \" as it is.
    line=${line//\\\"/\"}
    printf -v line '%b' "$line"
  fi
  run_directory=$line
}
find_run_directory
status_file=$run_directory/status.json

status_value() {  # KEY: of the object itself, not of what is in it
  sed -n 's/^  "'"$1"'": *"\{0,1\}\([^",]*\)"\{0,1\},\{0,1\}$/\1/p' "$status_file" 2>/dev/null | head -n 1
}

# The state of this start: empty where it has not said any.
state_now() {
  [ -n "$run_directory" ] && [ "$(status_value launch_id)" = "$TOVAMILL_LAUNCH_ID" ] || return 0
  status_value state
}

is_final() { case "$1" in done | stopped | failed | lost) return 0 ;; *) return 1 ;; esac; }

# Documents that the run has finished, as far as its status says; journals grow with every start.
n_finished() {
  local key n sum=0
  for key in documents failed; do
    n=$(status_value "$key")
    if [[ "$n" =~ ^[0-9]{1,18}$ ]]; then sum=$((sum + 10#$n)); fi
  done
  echo "$sum"
}

# What a mpirun that was killed leaves: a folder named after its process and, named after its job, shared memory.
clean_after_mpirun() {
  [ "${starter[0]:-}" = mpirun ] || return 0
  local session job host tmp=${TMPDIR:-/tmp} user
  user=$(id -u)
  for host in "$(hostname)" "$(hostname -s)"; do  # killed tasks of 5 leave theirs even where mpirun ends well
    remove_segments sm "$(number_of_job "prterun-$host-$launcher")"
  done
  for session in "$tmp"/ompi.*."$user"/pid."$launcher"; do  # of 4.1: the job's number stands in contact.txt
    [ -d "$session" ] || continue
    job=$(sed -n '1s/\..*//p' "$session/contact.txt" 2>/dev/null)
    if [[ "$job" =~ ^[0-9]{1,10}$ ]]; then remove_segments vader "$((job >> 16))"; fi
    rm -rf "$session"
  done
  for session in "$tmp"/prterun.*."$launcher.$user"; do  # of 5: the job's name stands in the name of a file
    [ -d "$session" ] || continue
    for job in "$session"/pmix.*.tool.*@0; do
      if [ -e "$job" ]; then job=${job##*.tool.} && remove_segments sm "$(number_of_job "${job%@0}")"; fi
    done
    rm -rf "$session"
  done
}

remove_segments() {  # KIND NUMBER
  rm -f "/dev/shm/$1_segment."*".$user.$(printf '%x' "$2")"????.*
}

# The number that Open MPI 5 makes of a job's name: OPAL_HASH_STR in 32 bits, folded to 16.
number_of_job() {  # NAME
  local hash=0 i
  for ((i = 0; i < ${#1}; ++i)); do
    hash=$((hash + $(printf '%d' "'${1:i:1}")))
    hash=$((hash + (hash << 10) & 0xffffffff))
    hash=$((hash ^ hash >> 6))
  done
  hash=$((hash + (hash << 3) & 0xffffffff))
  hash=$((hash ^ hash >> 11))
  hash=$((hash + (hash << 15) & 0xffffffff))
  echo $((hash >> 16 ^ hash & 0xffff))
}

is_running() { kill -0 "$launcher" 2>/dev/null; }

wait_while_running() {  # SECONDS at most
  local end=$((SECONDS + $1))
  while is_running && [ "$SECONDS" -lt "$end" ]; do sleep 0.1; done
}

# Some launchers stay for ever once one of their tasks has died.
stop_lingering() {  # SECONDS to wait
  wait_while_running "$1"
  is_running && kill -TERM "$launcher" 2>/dev/null
  wait_while_running 5
  is_running && kill -KILL "$launcher" 2>/dev/null
}

# A launcher that has started no task yet would forget the signal or die of it, and so would a program that is not ready.
pass_on_stop() {  # STATE
  if [ "$stop_asked" = yes ] && [ "$stop_passed_on" = no ] && { [ -n "$1" ] || [ -z "$run_directory" ]; }; then
    kill -USR1 "$launcher" 2>/dev/null
    stop_passed_on=yes
  fi
}

# Whether status.json is to be renewed: not while the run starts, unless hosts that do not answer may be why.
may_stall() { [ "$1" = running ] || { [ -z "$1" ] && [ -n "$hostfile" ]; }; }  # STATE

# Until the launcher has ended; sets $launcher_code, and $was_silent where it was stopped because no task had begun.
watch_launch() {
  local state seen='' seen_now since=$SECONDS
  while is_running; do
    state=$(state_now)
    if is_final "$state"; then stop_lingering 5; break; fi
    if [ "$stop_twice" = yes ]; then stop_lingering 0; break; fi
    pass_on_stop "$state"
    seen_now=$state$(stat -c %Y%i -- "$status_file" 2>/dev/null)
    if [ "$seen_now" != "$seen" ] || ! may_stall "$state"; then seen=$seen_now since=$SECONDS; fi
    if [ "$stall_s" -gt 0 ] && [ $((SECONDS - since)) -ge "$stall_s" ]; then
      say "the run has not renewed its status.json for $stall_s s: it is taken for lost"
      if [ -z "$state" ]; then was_silent=yes; fi
      stop_lingering 0
      break
    fi
    sleep 0.2
  done
  wait "$launcher"
  launcher_code=$?
  clean_after_mpirun
}

# The exit code of a launch that ended without a final state; empty where it was lost and may be started again.
code_without_state() {
  local code
  code=$(head -c 16 -- "$TOVAMILL_EXIT_FILE" 2>/dev/null | tr -d '[:space:]')
  if [[ "$code" =~ ^[0-9]{1,3}$ ]]; then  # rank 0 came to an orderly end
    # 78: a rank of the launch before may have held the run directory a moment longer.
    if [ "$code" != 75 ] && { [ "$code" != 78 ] || [ "$launches" -eq 1 ]; }; then echo "$code"; fi
    return
  fi
  if [ -z "$run_directory" ]; then echo "$launcher_code"; return; fi
  if [ "${starter[0]:-}" = mpirun ]; then return; fi  # with --enable-recovery it says 0 whatever happens
  case "$launcher_code" in 0 | 64 | 65 | 66 | 69 | 73 | 78) echo "$launcher_code" ;; esac
}

# Whether mpirun has given up before the program began: it exits with what the start on a host came to (255 of ssh);
# tasks that have begun leave a state, a code, or mpirun's 0.
could_not_start() {
  [ "${starter[0]:-}" = mpirun ] && [ "$launches" -eq 1 ] && [ "$stop_asked" = no ] && [ -z "$state$code" ] || return 1
  case "$launcher_code" in
    0 | 75) return 1 ;;
    137 | 143) [ "$was_silent" = yes ] ;;  # else somebody has killed it
    *) [ ! -s "$TOVAMILL_EXIT_FILE" ] ;;
  esac
}

start_once() {
  launches=$((launches + 1))
  TOVAMILL_LAUNCH_ID=$(hostname)-$$-$launches-$(date +%s%N)
  TOVAMILL_RESTARTS=$((launches - 1))
  export TOVAMILL_LAUNCH_ID TOVAMILL_EXIT_FILE TOVAMILL_RESTARTS
  : >"$TOVAMILL_EXIT_FILE"
  # A session of its own: Ctrl-C comes to this script only, which passes on what the program understands.
  setsid "${starter[@]}" "${program[@]}" </dev/null &
  launcher=$!
  watch_launch
  launcher=''
}

# Without room for its own files there mpirun 4.1 waits for ever, or loses the tasks of every start.
need_temporary_folder() {
  local tmp=${TMPDIR:-/tmp} n_needed=16384 n_free=''
  if [ "${starter[0]:-}" = mpirun ]; then n_free=$(df -Pk -- "$tmp" 2>/dev/null | awk 'NR == 2 { print $4 }'); fi
  if [ "${n_free:-$n_needed}" -lt "$n_needed" ]; then
    refuse_with 74 "$tmp has $n_free KiB free, and mpirun needs $n_needed: free some, or name another folder in TMPDIR"
  fi
  TOVAMILL_EXIT_FILE=$(mktemp 2>/dev/null) ||
    refuse_with 73 "no temporary file can be made in $tmp: name another folder in TMPDIR"
}
need_temporary_folder
# Equal for all starts of this job, also after a requeue; what --overwrite deletes it deletes once.
export TOVAMILL_JOB=${SLURM_JOB_ID:-$(hostname)-$$-$(date +%s%N)}
trap 'rm -f -- "$TOVAMILL_EXIT_FILE"' EXIT
launches=0 losses=0 finished=0 was_silent=no
while true; do
  start_once
  state=$(state_now)
  if is_final "$state" && [ "$state" != lost ]; then
    code=$(status_value exit_code)
    exit "${code:-1}"
  fi
  code=$(code_without_state)
  if [ "$state" != lost ] && [ -n "$code" ]; then exit "$code"; fi
  if could_not_start; then
    advice=${hostfile:+: can every host of $hostfile be reached by ssh?}
    refuse_with 69 "mpirun could not start the tasks (its code $launcher_code)$advice"
  fi
  if [ "$stop_asked" = no ]; then
    finished_now=$(n_finished)
    if [ "$finished_now" -gt "$finished" ]; then losses=0 finished=$finished_now; fi
    losses=$((losses + 1))
    if [ "$losses" -gt "$max_restarts" ]; then
      say "$losses starts in a row were lost without a finished document: the work so far is kept, start again later"
      exit 75
    fi
    say "the run was lost (launcher's code $launcher_code): starting again ($losses of $max_restarts)"
    sleep 2  # tasks of a launcher that was killed live on for about a second
  fi
  if [ "$stop_asked" = yes ]; then
    say "stopped: the work so far is kept, start again to continue"
    exit 75
  fi
done
