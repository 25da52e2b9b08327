#!/usr/bin/env bash
# What more ranks bring, what it takes to start them, and what their journals cost: one table. Then the coordinator alone
# with 1,000 simulated workers (coordinator_benchmark).
#   scaling.sh [MODEL [CORPUS]]      (the quickstart's model and its text in pieces; without it a small made-up model)
# Set by the environment, beside what common.sh says: REPEATS, of which the medians are shown (3), DOCUMENTS that the text
# is cut into (96), BYTES of each (4000), MPIRUN (mpirun), COORDINATOR=no to leave out the simulation.
# tokens/s are of scoring, the wait for the last rank included, without loading; start-up is from the start of the
# process (or of mpirun) until the ranks have their first lease, and until rank 0 has heard of scored tokens (ranks report
# once a second). The runs alternate; a machine that others use as well shows in the last column.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=${1:-}
corpus=${2:-}
repeats=${REPEATS:-3}
work=${WORK:-$root/build/bench/scaling}
build=$(dirname "$tovamill")
own_folder "$work"
rm -rf "$work/out" "$work/texts" "$work"/*.txt

if [ -z "$model" ] && [ -e "$quickstart_model" ]; then
  model=$quickstart_model
elif [ -z "$model" ]; then
  echo "# the quickstart's model is not there: a small made-up one is used" >&2
  "$build/make_tiny_run" "$work/tiny" 3000
  model="$work/tiny/model" corpus=${corpus:-$work/tiny/corpus}
fi
if [ -z "$corpus" ]; then
  need "$quickstart_text"
  corpus="$work/texts"
  mkdir -p "$corpus"
  for ((i = 0; i < ${DOCUMENTS:-96}; ++i)); do
    tail -c +$((i * ${BYTES:-4000} + 1)) "$quickstart_text" | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true; } |
      first_bytes "${BYTES:-4000}" >"$corpus/$i.txt" || true
  done
fi
need "$model"
need "$corpus"
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

busy_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }

# run NAME RANKS THREADS: a line to NAME.txt: tokens/s, seconds until the first lease and until the first scored tokens,
# share of the ranks' time that they waited, journal bytes and microseconds a document, cores that others used.
run() {
  local name=$1 n_ranks=$2 command=("$tovamill" score --model "$model" --corpus "$corpus" --threads "$3" --out "$work/out"
    --overwrite --log-format json --progress-seconds 0.1 "${run_options[@]}")
  [ "$n_ranks" -eq 1 ] || command=("${MPIRUN:-mpirun}" -n "$n_ranks" --bind-to none --oversubscribe "${command[@]}")
  echo "# $name; load $(cut -d' ' -f1-3 /proc/loadavg)" >&2
  local start=$EPOCHREALTIME ticks own event
  ticks=$(busy_ticks)
  TIMEFORMAT='%U %S'
  { time "${command[@]}" 2>"$work/error.log" | while read -r event; do
    echo "$EPOCHREALTIME $event"
  done >"$work/events.log"; } 2>"$work/time.log" || { cat "$work/error.log" >&2; fail 70 "$name: the run failed"; }
  ticks=$(($(busy_ticks) - ticks))
  own=$(awk '{ print $1 + $2 }' "$work/time.log")
  local bytes
  bytes=$(cat "$work"/out/journal/*.log | wc -c)
  awk -v start="$start" -v end="$EPOCHREALTIME" -v bytes="$bytes" -v ticks="$ticks" -v own="$own" -v n_ranks="$n_ranks" '
    function number(name,   at) {
      at = index($0, "\"" name "\":")
      return at ? substr($0, at + length(name) + 3) + 0 : 0
    }
    FILENAME ~ /status/ && /"seconds_waiting"/ { waiting += $2 + 0 }
    FILENAME ~ /status/ && /"seconds_writing"/ { writing += $2 + 0 }
    /"event":"started"/ { lease = $1 - start }
    /"event":"progress"/ && !seen_one { seen_one = 1; loaded = number("seconds") }
    /"event":"progress"/ && number("tokens") > 0 && !first { first = $1 - start }
    /"event":"finished"/ {
      seconds = number("seconds") - loaded
      tokens = number("tokens"); documents = number("documents")
    }
    END {
      printf "%.1f %.2f %.2f %.2f %.0f %.1f %.2f\n", tokens / seconds, lease, first, 100 * waiting / (n_ranks * seconds),
        bytes / documents, 1e6 * writing / documents, (ticks / 100 - own) / (end - start)
    }' "$work/events.log" "$work/out/status.json" >>"$work/$name.txt"
}

median() { # NAME COLUMN
  sort -g -k"$2,$2" "$work/$1.txt" | awk -v c="$2" '{ v[NR] = $c } END { print v[int((NR + 1) / 2)] }'
}

for ((i = 0; i < repeats; ++i)); do
  run 1x1 1 1
  run 2x1 2 1
  run 1x2 1 2
done

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); $(field documents <"$work/events.log") documents," \
  "$(field tokens <"$work/events.log") tokens; medians of $repeats; $(nproc) cores of" \
  "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p); load $(cut -d' ' -f1-3 /proc/loadavg)"
echo
row='| %-19s | %9s | %8s | %13s | %14s | %9s | %12s | %13s | %12s |\n'
# shellcheck disable=SC2059
printf "$row" "" tokens/s "/ first" "first lease s" "first tokens s" "waiting %" "journal B/doc" "journal us/doc" "others cores"
# shellcheck disable=SC2059
printf "$row" ------------------- --------- -------- ------------- -------------- --------- ------------ ------------- ------------
for name in 1x1 2x1 1x2; do
  read -r ranks n_threads <<<"${name/x/ }"
  # shellcheck disable=SC2059
  printf "$row" "$ranks ranks, $n_threads threads" "$(median $name 1)" "$(ratio "$(median $name 1)" "$(median 1x1 1)")" \
    "$(median $name 2)" "$(median $name 3)" "$(median $name 4)" "$(median $name 5)" "$(median $name 6)" "$(median $name 7)"
done
rm -rf "$work/out"
[ "${COORDINATOR:-yes}" = yes ] || exit 0
"$build/coordinator_benchmark"
