#!/usr/bin/env bash
# A huge .jsonl file: how soon it is planned and its first tokens are scored, whether memory stays flat, how soon a run
# of it stops, and whether the next start goes on. The file is made of books, repeated and cut at ever other places, and
# is deleted at the end.
#   huge_file.sh [MODEL [BOOK...]]      (the quickstart's model and text)
# Set by the environment, beside what common.sh says: BYTES of the file (1000000000), SECONDS_EACH of watching memory (60),
# RANKS (1 2), MPIRUN (mpirun).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=${1:-$quickstart_model}
[ $# -eq 0 ] || shift
books=("$@")
[ $# -gt 0 ] || books=("$quickstart_text")
n_bytes=${BYTES:-1000000000}
watched_s=${SECONDS_EACH:-60}
read -ra ranks <<<"${RANKS:-1 2}"
work=${WORK:-$root/build/bench/huge_file}
need "$model"
for book in "${books[@]}"; do need "$book"; done
command -v python3 >/dev/null || fail 69 "python3 is missing: it writes the file"
scratch="$work/scratch.$$"
mkdir -p "$scratch"
pids=()
trap 'for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done; rm -rf "$scratch"' EXIT
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# Records of 200 to 40,000 characters, most of them short.
python3 - "$scratch/huge.jsonl" "$n_bytes" "${books[@]}" <<'PYTHON'
import json, random, sys
texts = [open(path, encoding="utf-8", errors="replace").read() for path in sys.argv[3:]]
choose = random.Random(1)
left = int(sys.argv[2])
with open(sys.argv[1], "wb") as file:
    while left > 0:
        text = choose.choice(texts)
        length = min(40000, int(200 * choose.paretovariate(0.7)))
        start = choose.randrange(max(1, len(text) - length))
        line = json.dumps({"text": text[start:start + length] or "nothing"}).encode() + b"\n"
        file.write(line)
        left -= len(line)
PYTHON

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.2f", b - a }'; }

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); one file of $(stat -c %s "$scratch/huge.jsonl") bytes," \
  "$(wc -l <"$scratch/huge.jsonl") documents; $(nproc) cores, load $(cut -d' ' -f1-3 /proc/loadavg)"
common=(--model "$model" --corpus "$scratch/huge.jsonl" "${run_options[@]}")
start=$EPOCHREALTIME
"$tovamill" plan "${common[@]}" --no-calibration >"$scratch/plan.txt"
echo
echo "| planned after (s) | $(since "$start") |"
echo "|---|---|"

# The ranks of the run: the processes of this program that write to this run directory.
rank_pids() { # OUT
  local pid
  for pid in $(pgrep -x tovamill || true); do
    if tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$1"; then echo "$pid"; fi
  done
}
resident_kib() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null || true; }

# A run that writes its events with their times to LOG; its process is $launched.
launch() { # LOG RANKS OUT
  : >"$1"
  local command=("$tovamill" score "${common[@]}" --threads $((threads / $2 > 0 ? threads / $2 : 1)) --out "$3"
    --log-format json --progress-seconds 0.1)
  [ "$2" -eq 1 ] || command=("${MPIRUN:-mpirun}" -n "$2" --bind-to none --oversubscribe "${command[@]}")
  "${command[@]}" > >(while read -r event; do echo "$EPOCHREALTIME $event"; done >>"$1") 2>"$1.errors" &
  launched=$!
  pids+=("$launched")
}
first_tokens() { # LOG START: waits for scored tokens and says after how many seconds they were
  while ! grep -q '"event":"progress".*"tokens":[1-9]' "$1" 2>/dev/null; do
    kill -0 "$launched" 2>/dev/null || fail 70 "the run ended early: $(cat "$1.errors")"
    sleep 0.1
  done
  awk -v start="$2" '/"event":"progress".*"tokens":[1-9]/ { printf "%.2f", $1 - start; exit }' "$1"
}
stop() { # PID OUT: SIGUSR1 to every rank; "seconds code"
  local start=$EPOCHREALTIME code=0 rank
  for rank in $(rank_pids "$2"); do kill -USR1 "$rank"; done
  wait "$1" || code=$?
  stopped="$(since "$start") $code"
}

for n in "${ranks[@]}"; do
  out="$scratch/out-$n"
  start=$EPOCHREALTIME
  launch "$scratch/first-$n.log" "$n" "$out"
  first_s=$(first_tokens "$scratch/first-$n.log" "$start")
  echo "| $n ranks: first scored tokens known after (s) | $first_s |"
  sleep 3
  mapfile -t ranks_now < <(rank_pids "$out")
  declare -A memory_first=() memory_most=() memory_last=()
  for ((t = 0; t <= watched_s; ++t)); do
    for pid in "${ranks_now[@]}"; do
      kib=$(resident_kib "$pid")
      memory_first[$pid]=${memory_first[$pid]:-$kib}
      memory_last[$pid]=$kib
      [ "$kib" -le "${memory_most[$pid]:-0}" ] || memory_most[$pid]=$kib
    done
    sleep 1
  done
  for i in "${!ranks_now[@]}"; do
    pid=${ranks_now[i]}
    awk -v n="$n" -v i="$i" -v a="${memory_first[$pid]}" -v m="${memory_most[$pid]}" -v b="${memory_last[$pid]}" \
      -v s="$watched_s" 'BEGIN {
        printf "| %d ranks: process %d resident MiB: 3 s after that, most, after %d s (growth) | %.1f, %.1f, %.1f (%+.2f %%) |\n",
          n, i, s, a / 1024, m / 1024, b / 1024, 100 * (b - a) / a }'
  done
  stop "$launched" "$out"
  tokens=$(field tokens <"$scratch/first-$n.log")
  echo "| $n ranks: saved and ended after SIGUSR1 (s), exit code | ${stopped/ /, } |"
  [ "${stopped#* }" -eq 75 ] || fail 70 "the exit code should be 75: $(cat "$scratch/first-$n.log.errors")"
  saved=$(find "$out" -name '*.state*' | wc -l)

  start=$EPOCHREALTIME
  launch "$scratch/second-$n.log" "$n" "$out"
  first_s=$(first_tokens "$scratch/second-$n.log" "$start")
  done_before=$(sed -n 's/.*"documents_done":\([0-9]*\).*/\1/p' "$scratch/second-$n.log")
  echo "| $n ranks: tokens scored, states saved; documents that the next start finds done | $tokens, $saved; $done_before |"
  echo "| $n ranks: first scored tokens of the next start known after (s) | $first_s |"
  stop "$launched" "$out"
  pids=()
done
