#!/usr/bin/env bash
# A Slurm cluster of several nodes on this one machine, for tests: slurm_up.sh FOLDER [NODES [CPUS_OF_A_NODE [PORT]]].
# munged, slurmctld and a slurmd per node run as root, with everything of theirs in FOLDER and on PORT and those after
# it; nothing of the system's own Slurm is touched. Then `source FOLDER/environment` gives srun and sbatch their cluster,
# and FOLDER/down ends it. CPUs may be more than the machine has.
set -euo pipefail

folder=$(mkdir -p "$1" && cd "$1" && pwd)
n_nodes=${2:-3} n_cpus=${3:-2} port=${4:-17500}
host=$(hostname -s)
socket=$folder/munge/socket

fail() { echo "slurm_up.sh: $*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || fail "Slurm's daemons need root here"
for program in munged slurmctld slurmd srun; do
  command -v "$program" >/dev/null || fail "$program is not there: jobs/install_dependencies.sh slurm"
done
getent hosts "$host" >/dev/null || fail "the name $host has no address: add '127.0.0.1 $host' to /etc/hosts"
mkdir -p "$folder"/{munge,state,log}
: >"$folder/daemons"

# Ends jobs too. The daemons go in the reverse of their order, each only if the process is still what was started.
cat >"$folder/down" <<DOWN
#!/usr/bin/env bash
runs() { [ "\$(cat "/proc/\$1/comm" 2>/dev/null)" = "\$2" ] && ! grep -q '^State:.Z' "/proc/\$1/status" 2>/dev/null; }
any_runs() { while read -r pid name; do runs "\$pid" "\$name" && return 0; done <"$folder/daemons"; return 1; }
signal_all() { tac "$folder/daemons" | while read -r pid name; do runs "\$pid" "\$name" && kill "\$1" "\$pid"; done; }
[ -e "$folder/daemons" ] || exit 0
signal_all -TERM
for _ in {1..50}; do any_runs || break; sleep 0.1; done
signal_all -KILL
# What is left of jobs outlives the daemons.
for process in \$(pgrep -x slurmstepd) \$(grep -lsaz '^SLURM_JOB_ID=' /proc/[0-9]*/environ | cut -d / -f 3); do
  if grep -qsaxzF "SLURM_CONF=$folder/slurm.conf" "/proc/\$process/environ"; then kill -KILL "\$process" 2>/dev/null; fi
done
rm -f "$folder/daemons"
DOWN
chmod +x "$folder/down"

start_daemon() {  # NAME ARGUMENTS...: stays in the foreground of a session of its own
  setsid "$@" </dev/null >>"$folder/log/$1.out" 2>&1 &
  echo "$! $1" >>"$folder/daemons"
}

wait_for() {  # WHAT COMMAND...
  local what=$1
  shift
  for _ in {1..300}; do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  tail -n 5 "$folder"/log/* >&2
  "$folder/down"
  fail "$what did not come up within 30 s"
}

# A key of its own. munged wants nobody else to be able to write to its folder.
chmod 711 "$folder/munge"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
start_daemon munged --foreground --force --key-file="$folder/munge/key" --socket="$socket" \
  --pid-file="$folder/munge/pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"
wait_for munged munge --no-input --socket="$socket"

# Each node needs its own TmpFS: the ranks' PMIx makes folders of the same name there.
memory=$(($(awk '/^MemTotal:/ {print int($2 / 1024)}' /proc/meminfo) / n_nodes))
cat >"$folder/slurm.conf" <<CONF
ClusterName=tovamill
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool.%n
TmpFS=$folder/tmp.%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
KillWait=5
InactiveLimit=0
PropagateResourceLimits=NONE
JobRequeue=1
NodeName=n[1-$n_nodes] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + n_nodes))] CPUs=$n_cpus RealMemory=$memory
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF

# Since 23.11 slurmd does not start without cgroups unless told so; before, it did not know the word.
if [ "$(slurmd -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 23 ]; then echo CgroupPlugin=disabled >"$folder/cgroup.conf"; fi

# The nodes have one /dev/shm and one host name, so that Open MPI's segments of shared memory would collide: TCP.
cat >"$folder/environment" <<ENVIRONMENT
export SLURM_CONF='$folder/slurm.conf'
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl=tcp,self OMPI_MCA_btl_tcp_if_include=lo
ENVIRONMENT

export SLURM_CONF=$folder/slurm.conf
start_daemon slurmctld -D -c
for ((node = 1; node <= n_nodes; ++node)); do
  mkdir -p "$folder/spool.n$node" "$folder/tmp.n$node"
  start_daemon slurmd -D -N "n$node"
done
all_idle() { [ "$(sinfo --noheader --Node --format=%T | grep -c '^idle$')" -eq "$n_nodes" ]; }
wait_for "the nodes" all_idle
