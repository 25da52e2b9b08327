#!/usr/bin/env bash
# Summaries by policy and size of the state, in one table: answers to the questions of SQuALITY's stories and QMSum's
# meetings, their ROUGE, how fast they were read and written, and how much memory that took.
#   squality.sh [--quick] SQUALITY.jsonl QMSUM.jsonl [MODEL]      (the quickstart's model)
# The files are as published: SQuALITY 1.3, and QMSum with a meeting a line. --quick takes the first 3 stories and
# meetings only, for a trial. Every row is a run of its own below the work directory; a script that was broken off
# continues. Set by the environment, beside what common.sh says: DTYPE (bf16), NEW_TOKENS at most of an answer (256),
# STREAMS (0: as many as fit), PYTHON (python3), ROWS ("squality:tova:512 qmsum:full:0 ..."). Prompts are the program's own: the instruction stands on both sides of
# the document where the state is bounded, and after it with `full`; RUN_OPTIONS="--instruction both" makes them equal.
# Speeds are of reading and writing together, by the seconds of all starts; `-` where one was killed.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here="$root/jobs/bench"
n_records=0 kind=all
if [ "${1:-}" = --quick ]; then
  n_records=3 kind=quick
  shift
fi
[ $# -eq 2 ] || [ $# -eq 3 ] || fail 64 "usage: $0 [--quick] SQUALITY.jsonl QMSUM.jsonl [MODEL]"
model=${3:-$quickstart_model}
python=${PYTHON:-python3}
new_tokens=${NEW_TOKENS:-256}
work=${WORK:-$root/build/bench/squality}/$kind
rows=${ROWS:-squality:tova:512 squality:tova:1024 squality:window:512 squality:window:1024 squality:full:0 qmsum:tova:1024
             qmsum:window:1024 qmsum:full:0}
need "$1"
need "$2"
need "$model"
own_folder "$work"
"$python" "$here/question_records.py" squality "$1" "$work/squality.jsonl" "$n_records"
"$python" "$here/question_records.py" qmsum "$2" "$work/qmsum.jsonl" "$n_records"

say() { echo "# $*" >&2; }

options_of() { # POLICY SIZE
  case "$1" in
    window) echo "--policy window --sinks 4 --cache-size $2" ;;
    full) echo "--policy full" ;;
    *) echo "--policy $1 --cache-size $2" ;;
  esac
}

# summarize DATA POLICY SIZE: a run, which is only told again where it is done; its events are added to a file.
summarize() {
  local run="$work/$1-$2-$3" options
  read -ra options <<<"$(options_of "$2" "$3")"
  "$tovamill" summarize --model "$model" --corpus "$work/$1.jsonl" --question-key questions --reference-key references \
    --max-new-tokens "$new_tokens" --dtype "${DTYPE:-bf16}" --threads "$threads" --streams "${STREAMS:-0}" "${options[@]}" \
    "${run_options[@]}" --out "$run" --log-format json >>"$run.events.txt" 2>"$run.error.txt" || return
  "$python" "$here/generation_figures.py" "$tovamill" "$run" >"$run.figures.txt"
}

score() { # NAME EVENT: "24.31 +- 0.62 (19.80)", hundredths: the best over references, its standard error, their mean
  awk -v best="$(field "$1" <<<"$2")" -v error="$(field "$1_se" <<<"$2")" -v mean="$(field "$1_mean" <<<"$2")" 'BEGIN {
    if (best == "") printf "-"
    else if (error == "") printf "%.2f (%.2f)", 100 * best, 100 * mean
    else printf "%.2f +- %.2f (%.2f)", 100 * best, 100 * error, 100 * mean
  }'
}

rounded() { if [ -n "$2" ]; then printf '%.*f' "$1" "$2"; else printf '%s' -; fi; }  # DIGITS NUMBER

row='| %-8s | %-16s | %5s | %-21s | %-21s | %-21s | %13s | %12s | %8s | %8s |\n'
line() { # DATA POLICY SIZE
  local run="$work/$1-$2-$3" name=$2 size=$3 event="" figures="" memory="" code=0
  say "$1, $2 $3"
  summarize "$@" || code=$?
  # 75: it was told to stop, and so is the script.
  [ "$code" -ne 75 ] || fail 75 "stopped: the same command continues"
  if [ "$code" -eq 0 ]; then
    event=$(grep '"finished"' "$run.events.txt" | tail -n 1)
    figures=$(cat "$run.figures.txt")
    # Of the starts that computed something.
    [ "$(field failed <<<"$event")" = 0 ] || say "failures: see tovamill export $run"
    memory=$(grep '"finished"' "$run.events.txt" | grep -v '"seconds":0.0[,}]' | sed 's/.*"peak_rss_bytes": *\([0-9]*\).*/\1/' |
      sort -g | tail -n 1) || true
  else
    say "not done (exit code $code): $(tail -n 1 "$run.error.txt")"
  fi
  [ "$2" != window ] || name="window --sinks 4"
  [ "$2" != full ] || size=all
  # shellcheck disable=SC2059
  printf "$row" "$1" "$name" "$size" "$(score rouge1 "$event")" "$(score rouge2 "$event")" "$(score rougeL "$event")" \
    "$(rounded 0 "$(field read_per_second <<<"$figures")")" "$(rounded 1 "$(field written_per_second <<<"$figures")")" \
    "$(rounded 0 "$(field seconds <<<"$figures")")" \
    "$(awk -v b="$memory" 'BEGIN { if (b + 0 > 0) printf "%.0f", b / 1048576; else printf "-" }')"
}

count() { wc -l <"$1"; }

echo "$("$tovamill" --version | head -n 1); $(basename "$model"), ${DTYPE:-bf16}; $(count "$work/squality.jsonl") stories," \
  "$(count "$work/qmsum.jsonl") meetings; greedy, at most $new_tokens new tokens; $threads threads. ROUGE in hundredths: the" \
  "best over references +- standard error over documents (mean over references)."
echo
# shellcheck disable=SC2059
printf "$row" data policy k ROUGE-1 ROUGE-2 ROUGE-L "read tokens/s" "new tokens/s" seconds "peak MiB"
# shellcheck disable=SC2059
printf "$row" -------- ---------------- ----- --------------------- --------------------- --------------------- \
  ------------- ------------ -------- --------
for line in $rows; do
  IFS=: read -r data policy size <<<"$line"
  line "$data" "$policy" "$size"
done
