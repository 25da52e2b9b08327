#!/usr/bin/env bash
# What a token costs against how far into its document it stands: tokens/s and resident memory in every tenth of one long
# text, and the last tenth against the second (the first one's state is not full all along).
#   flat_cost.sh [MODEL [TEXT [TOKENS]]]      (the quickstart's model and text, 200000)
# Set by the environment, beside what common.sh says: POLICY (tova), CACHE_SIZE (512), DTYPE (auto).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=${1:-$quickstart_model}
text=${2:-$quickstart_text}
tokens=${3:-200000}
work=${WORK:-$root/build/bench/flat_cost}
need "$model"
need "$text"
own_folder "$work"
rm -rf "$work/text" "$work/out"
mkdir -p "$work/text"
cut_text "$model" "$text" "$tokens" "$work/text/text.txt"
tokens=$(count_tokens "$model" "$work/text/text.txt")

mkfifo "$work/fifo.$$"
trap 'rm -f "$work/fifo.$$"' EXIT
"$tovamill" score --model "$model" --corpus "$work/text" --policy "${POLICY:-tova}" --cache-size "${CACHE_SIZE:-512}" \
  --dtype "${DTYPE:-auto}" --threads "$threads" --log-format json --progress-seconds 0.25 --out "$work/out" --overwrite \
  "${run_options[@]}" >"$work/fifo.$$" &
pid=$!
# A line for each progress event: tokens, seconds, resident KiB at that moment.
while read -r event; do
  case "$event" in *'"progress"'*) ;; *) continue ;; esac
  resident=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null || true)
  echo "$(field tokens <<<"$event") $(field seconds <<<"$event") ${resident:-0}"
done <"$work/fifo.$$" >"$work/progress.txt"
wait "$pid"

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); one document of $tokens tokens; ${POLICY:-tova}" \
  "${CACHE_SIZE:-512}; $threads threads"
awk -v tokens="$tokens" '
  # Seconds when token n was reached, between the events around it.
  function at(n,   i) {
    for (i = 1; i < events && count[i] < n; ++i) {}
    if (i == 1 || count[i] == count[i - 1]) return time[i]
    return time[i - 1] + (time[i] - time[i - 1]) * (n - count[i - 1]) / (count[i] - count[i - 1])
  }
  function memory(n,   i) {
    for (i = 1; i < events && count[i] < n; ++i) {}
    while (i > 1 && resident[i] == 0) --i
    return resident[i] / 1024
  }
  { ++events; count[events] = $1; time[events] = $2; resident[events] = $3 }
  END {
    if (events < 20) { print "only " events + 0 " progress events: take a longer text" > "/dev/stderr"; exit 1 }
    print "| tokens            | tokens/s | resident MiB |"
    print "|-------------------|----------|--------------|"
    for (tenth = 1; tenth <= 10; ++tenth) {
      from = (tenth - 1) * tokens / 10; to = tenth * tokens / 10
      rate[tenth] = (to - from) / (at(to) - (tenth == 1 ? 0 : at(from))); held[tenth] = memory(to)
      printf "| %7d - %7d | %8.0f | %12.1f |\n", from, to, rate[tenth], held[tenth]
    }
    printf "| last / second     | %8.3f | %12.3f |\n", rate[10] / rate[2], held[10] / held[2]
  }' "$work/progress.txt"
