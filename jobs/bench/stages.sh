#!/usr/bin/env bash
# What cutting a model into stages brings (--stages): one rank of one thread against ranks of one thread each that share
# the model's layers, for one document, for several, and for texts that are written: one table. The ideal is as many times
# the speed as stages; writing falls short of it as far as a step of fewer texts takes as long, for the weights it reads.
#   stages.sh [MODEL [TEXT]]      (the quickstart's)
# Set by the environment, beside what common.sh says: STAGES (2), TOKENS (20000) of all documents together, DOCUMENTS (8),
# STREAMS (16), texts written side by side, each NEW_TOKENS (64) after about 100 tokens of a prompt, REPEATS, of which the
# best is shown (3), MPIRUN (mpirun), PYTHON (python3).
# tokens/s are of scoring, without loading; of texts, new tokens by the seconds in which all are written and none is read.
# The runs alternate. A rank wants a core of its own.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=${1:-$quickstart_model}
text=${2:-$quickstart_text}
stages=${STAGES:-2}
tokens=${TOKENS:-20000}
documents=${DOCUMENTS:-8}
streams=${STREAMS:-16}
new_tokens=${NEW_TOKENS:-64}
python=${PYTHON:-python3}
work=${WORK:-$root/build/bench/stages}
need "$model"
need "$text"
own_folder "$work"
rm -rf "$work/out" "$work/one" "$work/several" "$work"/*.txt
mkdir -p "$work/one" "$work/several"
if [ "$(id -u)" -eq 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

cut_text "$model" "$text" "$tokens" "$work/one/text.txt"
bytes=$(($(stat -c %s "$work/one/text.txt") / documents))
for ((i = 0; i < documents; ++i)); do
  tail -c +$((i * bytes + 1)) "$work/one/text.txt" | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true; } |
    first_bytes "$bytes" >"$work/several/$i.txt" || true
done
"$python" - "$text" "$streams" >"$work/texts.jsonl" <<'PYTHON'
import json, sys
with open(sys.argv[1], encoding="utf-8", errors="ignore") as file:
    text = file.read()
for i in range(int(sys.argv[2])):
    print(json.dumps({"id": str(i), "text": (text[400 * i :] or text)[:400]}))
PYTHON

# start STAGES JOB CORPUS OPTION...
start() {
  local n=$1 command=("$tovamill" "$2" --model "$model" --corpus "$work/$3" --threads 1 --out "$work/out" --overwrite
    --log-format json --stages "$1" "${@:4}" "${run_options[@]}")
  [ "$n" -eq 1 ] || command=("${MPIRUN:-mpirun}" -n "$n" --bind-to none --oversubscribe "${command[@]}")
  echo "# $3, stages $n; load $(cut -d' ' -f1-3 /proc/loadavg)" >&2
  "${command[@]}" >"$work/events.log" 2>"$work/error.log" || { cat "$work/error.log" >&2; fail 70 "$3: the run failed"; }
}

# run CORPUS STAGES: a line of tokens/s to CORPUS-STAGES.txt.
run() {
  start "$2" score "$1"
  cat "$work/events.log" "$work/error.log" | grep '"finished"' | field tokens_per_second >>"$work/$1-$2.txt"
}
# write_texts STAGES: of writing, a line of new tokens/s.
write_texts() {
  # Those whose prompts are read first would end before the others.
  local n_new=$((new_tokens + 8))
  start "$1" generate texts.jsonl --task continue --streams "$streams" --min-new-tokens "$n_new" --max-new-tokens "$n_new"
  "$python" "$root/jobs/bench/generation_figures.py" "$tovamill" "$work/out" --strands "$streams" |
    field decode_tokens_per_second >>"$work/texts-$1.txt"
}

best() { sort -g "$work/$1-$2.txt" | tail -n 1; }
rounded() { best "$1" "$2" | awk '{ printf "%.0f", $1 }'; }

for ((i = 0; i < ${REPEATS:-3}; ++i)); do
  for corpus in one several; do
    run $corpus 1
    run $corpus "$stages"
  done
  write_texts 1
  write_texts "$stages"
done

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); about $tokens tokens; best of ${REPEATS:-3}; $(nproc) cores of" \
  "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p); load $(cut -d' ' -f1-3 /proc/loadavg)"
echo
row='| %-14s | %13s | %15s | %8s | %14s |\n'
# shellcheck disable=SC2059
printf "$row" "" "1 rank, tok/s" "$stages stages, tok/s" "speed-up" "of the ideal %"
# shellcheck disable=SC2059
printf "$row" -------------- ------------- --------------- -------- --------------
declare -A name=([one]="1 document" [several]="$documents documents" [texts]="$streams texts")
for corpus in one several texts; do
  # shellcheck disable=SC2059
  printf "$row" "${name[$corpus]}" "$(rounded $corpus 1)" "$(rounded $corpus "$stages")" \
    "$(ratio "$(best $corpus "$stages")" "$(best $corpus 1)")" \
    "$(awk -v a="$(best $corpus "$stages")" -v b="$(best $corpus 1)" -v n="$stages" 'BEGIN { printf "%.0f", 100 * a / b / n }')"
done
rm -rf "$work/out"
