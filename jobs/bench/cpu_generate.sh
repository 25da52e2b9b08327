#!/usr/bin/env bash
# How fast `tovamill generate` reads prompts and writes after them on this CPU, in one table with transformers and
# llama.cpp where their Python packages are there; then what a stream's memory is against what `tovamill plan` says.
#   cpu_generate.sh [MODEL [TEXT]]      (the quickstart's model and text)
# Set by the environment, beside what common.sh says: PROMPT_TOKENS (4000), about, of each of 32 prompts cut from TEXT, of
# which the others get 8; NEW_TOKENS (128) written after each; STREAMS side by side (32); CACHE_SIZE (512); CURVE_TOKENS
# (1024) of the prompts of the curve over CURVE ("1 2 4 8 16 32 64") streams: the speed of writing does not depend on them
# once the state is full; REPEATS of everything, of which the best counts (1); PYTHON (python3). CURVE=no and OTHERS=no
# leave out the curve and the other programs. The memory is measured from the curve's 32 and 64 streams.
# Prefill: tokens of the prompts by the seconds of reading them, from a run that writes one token. Decode: new tokens by
# the seconds of the steps in which all streams write and none reads. Nobody ends early. The others attend to all of the
# prompt, as our `full` does; `/ others` compares with the best of theirs in any dtype.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here="$root/jobs/bench"
model=${1:-$quickstart_model}
text=${2:-$quickstart_text}
prompt_tokens=${PROMPT_TOKENS:-4000}
curve_tokens=${CURVE_TOKENS:-1024}
new_tokens=${NEW_TOKENS:-128}
streams=${STREAMS:-32}
cache_size=${CACHE_SIZE:-512}
repeats=${REPEATS:-1}
python=${PYTHON:-python3}
work=${WORK:-$root/build/bench/cpu_generate}
n_others=8
need "$model"
need "$text"
own_folder "$work"
rm -rf "$work/prompts" "$work/curve" "$work/out"

say() { echo "# $*" >&2; }

# cut_prompts FOLDER N TOKENS: N pieces of about TOKENS tokens, one after another, each a file, and as records of
# FOLDER.jsonl: files are leased one by one, records many together.
cut_prompts() {
  local folder=$1 n=$2 each
  mkdir -p "$folder"
  cut_text "$model" "$text" $((n * $3)) "$work/all.txt"
  each=$(($(stat -c %s "$work/all.txt") / n))
  for ((i = 0; i < n; ++i)); do
    tail -c +$((i * each + 1)) "$work/all.txt" | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true; } |
      first_bytes "$each" >"$folder/$(printf '%03d' "$i").txt" || true  # `head` closes the pipe early
  done
  rm "$work/all.txt"
  "$python" - "$folder" <<'PYTHON'
import json, pathlib, sys
folder = sys.argv[1]
with open(folder + ".jsonl", "w", encoding="utf-8") as out:
    for path in sorted(pathlib.Path(folder).glob("*.txt")):
        out.write(json.dumps({"id": path.stem, "text": path.read_text(encoding="utf-8")}) + "\n")
PYTHON
}

# reading_steps N TOKENS: steps until N prompts are read, at the most: beside those that write already, a step of 1024 rows
# has three blocks of 256, and a document comes in every other step. So many tokens more are written that all streams
# write together at the end.
reading_steps() { echo $((($1 / 3 + 1) * ($2 / 256 + 1) + 2 * $1)); }

tova=(--policy tova --cache-size "$cache_size")

# ours PROMPTS.jsonl STREAMS NEW_TOKENS OPTION...: its figures and its last event.
ours() {
  local prompts=$1 n=$2 n_new=$3
  shift 3
  "$tovamill" generate --model "$model" --corpus "$prompts" --limit "$n" --streams "$n" --min-new-tokens "$n_new" \
    --max-new-tokens "$n_new" --task continue --threads "$threads" --log-format json --out "$work/out" --overwrite \
    "${run_options[@]}" "$@" >"$work/events.txt" || return
  "$python" "$here/generation_figures.py" "$tovamill" "$work/out" --strands "$n" || return
  grep '"finished"' "$work/events.txt"
}

larger() { printf '%s\n' "$@" | sort -g | tail -n 1; }

declare -A prefill decode peak
# measure KEY COMMAND...: keeps the best figures of what prints JSON.
measure() {
  local key=$1 lines code
  shift
  for ((i = 0; i < repeats; ++i)); do
    code=0
    lines=$("$@" 2>"$work/error.txt") || code=$?
    [ "$code" -ne 75 ] || fail 75 "stopped"  # it was told to, and so is the script
    if [ "$code" -ne 0 ]; then
      say "$key is not done (exit code $code): $(tail -n 1 "$work/error.txt")"
      return 0
    fi
    prefill[$key]=$(larger "${prefill[$key]:-}" "$(field prefill_tokens_per_second <<<"$lines")")
    decode[$key]=$(larger "${decode[$key]:-}" "$(field decode_tokens_per_second <<<"$lines")")
    peak[$key]=$(larger "${peak[$key]:-}" "$(field peak_rss_bytes <<<"$lines")")
  done
}

# KEYs of the table's rows, in its order, with name, dtype, sequences and tokens of a prompt.
keys=()
declare -A label
row_of() { # KEY NAME DTYPE SEQUENCES TOKENS
  keys+=("$1")
  label[$1]="$2|$3|$4|$5"
}

# both KEY DTYPE NAME STREAMS OPTION...: one run for the prefill, one for the decoding.
both() {
  local key=$1 dtype=$2 name=$3 n=$4
  shift 4
  row_of "$key" "$name" "$dtype" "$n" "$prompt_tokens"
  say "$name, $dtype, $n streams: reading"
  measure "$key,read" ours "$work/prompts.jsonl" "$n" 1 --dtype "$dtype" "$@"
  say "$name, $dtype, $n streams: reading and writing"
  measure "$key" ours "$work/prompts.jsonl" "$n" $((new_tokens + $(reading_steps "$n" "$prompt_tokens"))) --dtype "$dtype" "$@"
  prefill[$key]=${prefill[$key,read]:-}
}

say "cutting prompts"
cut_prompts "$work/prompts" "$((streams > n_others ? streams : n_others))" "$prompt_tokens"
both ours,bf16 bf16 "tova $cache_size" "$streams" "${tova[@]}"
both ours,f32 f32 "tova $cache_size" "$streams" "${tova[@]}"
both full,bf16 bf16 full "$n_others" --policy full

if [ "${CURVE:-}" != no ]; then
  read -ra curve <<<"${CURVE:-1 2 4 8 16 32 64}"
  cut_prompts "$work/curve" "$(larger "${curve[@]}")" "$curve_tokens"
  for n in "${curve[@]}"; do
    say "tova $cache_size, bf16, $n streams after $curve_tokens tokens"
    row_of "curve,$n" "tova $cache_size" bf16 "$n" "$curve_tokens"
    measure "curve,$n" ours "$work/curve.jsonl" "$n" $((new_tokens + $(reading_steps "$n" "$curve_tokens"))) --dtype bf16 \
      "${tova[@]}"
    prefill[curve,$n]=""  # its reading is mixed with writing
  done
fi

if [ "${OTHERS:-yes}" = yes ]; then
  prompts=("$work"/prompts/*.txt)
  for n in "$n_others" 1; do
    common=("$model" "${prompts[@]:0:n}" --new-tokens "$new_tokens" --threads "$threads")
    for dtype in bf16 f32; do
      say "transformers, $dtype, batch $n"
      row_of "transformers,$dtype,$n" transformers "$dtype" "$n" "$prompt_tokens"
      measure "transformers,$dtype,$n" "$python" "$here/compare_transformers_generate.py" "${common[@]}" --dtype "$dtype"
    done
  done
  for n in "$n_others" 1; do
    common=("$model" "${prompts[@]:0:n}" --new-tokens "$new_tokens" --threads "$threads")
    for weights in bf16 as-is; do
      say "llama.cpp, $weights, $n sequences"
      row_of "llama,$weights,$n" llama.cpp "$weights" "$n" "$prompt_tokens"
      measure "llama,$weights,$n" "$python" "$here/compare_llama_cpp_generate.py" "${common[@]}" --weights "$weights"
    done
  done
fi

# The best of the others.
of_transformers=() of_others=() decode_of_others=()
for key in "${keys[@]}"; do
  case "$key" in transformers*) of_transformers+=("${prefill[$key]:-}") ;; esac
  case "$key" in transformers* | llama*) of_others+=("${prefill[$key]:-}") decode_of_others+=("${decode[$key]:-}") ;; esac
done
best_transformers=$(larger "" "${of_transformers[@]}")
best_prefill=$(larger "" "${of_others[@]}")
best_decode=$(larger "" "${decode_of_others[@]}")

rounded() { if [ -n "${1:-}" ]; then printf '%.0f' "$1"; else printf '%s' -; fi; }
mib() { if [ -n "${1:-}" ]; then awk -v b="$1" 'BEGIN { printf "%.0f", b / 1048576 }'; else printf '%s' -; fi; }

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); $new_tokens tokens and more after each prompt; $threads" \
  "threads of $(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p); load $(cut -d' ' -f1-3 /proc/loadavg)"
row='| %-12s | %-5s | %9s | %13s | %16s | %8s | %15s | %8s | %8s |\n'
# shellcheck disable=SC2059
printf "$row" "" dtype sequences "prompt tokens" "prefill tokens/s" "/ others" "decode tokens/s" "/ others" "peak MiB"
# shellcheck disable=SC2059
printf "$row" ------------ ----- --------- ------------- ---------------- -------- --------------- -------- --------
for key in "${keys[@]}"; do
  IFS='|' read -r name dtype n tokens <<<"${label[$key]}"
  # shellcheck disable=SC2059
  printf "$row" "$name" "$dtype" "$n" "$tokens" "$(rounded "${prefill[$key]:-}")" "$(ratio "${prefill[$key]:-}" "$best_prefill")" \
    "$(rounded "${decode[$key]:-}")" "$(ratio "${decode[$key]:-}" "$best_decode")" "$(mib "${peak[$key]:-}")"
done

echo
echo "decode, $streams streams, by the best of the others: $(ratio "${decode[ours,bf16]:-}" "$best_decode") in bf16 (bar: 3)," \
  "$(ratio "${decode[ours,f32]:-}" "$best_decode") in f32"
echo "prefill, by the best of transformers: $(ratio "${prefill[ours,bf16]:-}" "$best_transformers") in bf16 (bar: 1.6)," \
  "$(ratio "${prefill[ours,f32]:-}" "$best_transformers") in f32"

# What 32 streams more take of resident memory, all of their states being full.
planned=$("$tovamill" plan --model "$model" --corpus "$work/prompts.jsonl" --dtype bf16 "${tova[@]}" \
  --streams 64 --threads "$threads" --no-calibration --json "${run_options[@]}" 2>/dev/null | field state_bytes) || planned=""
if [ -z "$planned" ]; then  # an option that `plan` does not take: what the last run of the curve said
  planned=$(awk -v all="$(field state_bytes <"$work/events.txt")" -v n="$(field streams <"$work/events.txt")" \
    'BEGIN { if (n > 0) print all / n }')
fi
awk -v few="${peak[curve,32]:-}" -v many="${peak[curve,64]:-}" -v planned="$planned" 'BEGIN {
  if (few + 0 <= 0 || many + 0 <= 0 || planned + 0 <= 0) { print "memory of a stream: not measured"; exit }
  each = (many - few) / 32
  printf "memory of a stream: planned %.2f MiB, measured %.2f MiB: %+.1f %% (bar: 5 %%)\n", planned / 1048576,
    each / 1048576, 100 * (each / planned - 1)
}'
