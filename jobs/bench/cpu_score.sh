#!/usr/bin/env bash
# One table from one run: how fast `tovamill score` is on this CPU, against the model's matrix products alone in oneDNN,
# and against transformers and llama.cpp where their Python packages are there; then where the time goes, by perf.
#   cpu_score.sh [MODEL [TEXT [TOKENS]]]      (the quickstart's model and text, 16384)
# Set by the environment, beside what common.sh says: PYTHON (python3), REPEATS of every run of ours, of which the best
# counts (2), CACHE_SIZE (512), OTHERS=no to leave the other programs out, PROFILE=no to leave out the profile.
# tokens/s are of scoring, without loading; the other programs score chunks of 4096 with full attention.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
here="$root/jobs/bench"
model=${1:-$quickstart_model}
text=${2:-$quickstart_text}
tokens=${3:-16384}
python=${PYTHON:-python3}
repeats=${REPEATS:-2}
cache_size=${CACHE_SIZE:-512}
work=${WORK:-$root/build/bench/cpu_score}
need "$model"
need "$text"
own_folder "$work"
rm -rf "$work/one" "$work/four" "$work/out"
mkdir "$work/one" "$work/four"

cut_text "$model" "$text" "$tokens" "$work/one/text.txt"
n_bytes=$(stat -c %s "$work/one/text.txt")
for i in 0 1 2 3; do
  tail -c +$((i * n_bytes / 4 + 1)) "$work/one/text.txt" | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true; } |
    first_bytes $((n_bytes / 4)) >"$work/four/text$i.txt" || true
done

score() { # CORPUS DTYPE OPTION... : prints the JSON of the end
  local corpus=$1 dtype=$2
  shift 2
  "$tovamill" score --model "$model" --corpus "$corpus" --dtype "$dtype" --threads "$threads" --out "$work/out" \
    --overwrite --log-format json "$@" "${run_options[@]}" | grep '"finished"'
}

best_rate() { # as score; empty where it cannot be done
  local best=0 event
  for ((i = 0; i < repeats; ++i)); do
    event=$(score "$@" 2>"$work/error.txt") || { sed 's/^/# /' "$work/error.txt" >&2; return 0; }
    best=$(field tokens_per_second <<<"$event" | awk -v b="$best" '{ print ($1 > b) ? $1 : b }')
  done
  printf '%.0f' "$best"
}

say() { echo "# $*" >&2; }

declare -A rate
tova=(--policy tova --cache-size "$cache_size")
for dtype in bf16 f32; do
  say "$dtype: tova $cache_size, one document"
  rate[one,$dtype]=$(best_rate "$work/one" "$dtype" "${tova[@]}")
  say "$dtype: tova $cache_size, four documents"
  rate[four,$dtype]=$(best_rate "$work/four" "$dtype" "${tova[@]}" --streams 4)
  say "$dtype: full in chunks of 4096"
  rate[full,$dtype]=$(best_rate "$work/one" "$dtype" --policy full --chunk-tokens 4096)
  say "$dtype: the products alone"
  "$(dirname "$tovamill")/gemm_benchmark" --model "$model" --threads "$threads" --dtype "$dtype" >"$work/products-$dtype.txt"
  rate[products,$dtype]=$(awk -F'|' '$6 + 0 > best { best = $6 + 0 } END { if (best) print best }' "$work/products-$dtype.txt")
done

other() { # NAME COMMAND... : tokens/s of another program, or nothing
  local line
  say "$1"
  shift
  if line=$("$@" 2>"$work/other.txt"); then
    printf '%.0f' "$(field tokens_per_second <<<"$line")"
  else
    say "not done: $(tail -n 1 "$work/other.txt")"
  fi
}

if [ "${OTHERS:-yes}" = yes ]; then
  common=("$model" "$work/one/text.txt" --tokens "$tokens" --chunk 4096 --threads "$threads")
  for dtype in bf16 f32; do
    rate[transformers,$dtype]=$(other "transformers, $dtype" "$python" "$here/compare_transformers.py" "${common[@]}" --dtype "$dtype")
  done
  case "$model" in
    *.gguf) rate[llama,bf16]=$(other "llama.cpp, bf16 weights" "$python" "$here/compare_llama_cpp.py" "${common[@]}" --weights bf16)
            rate[llama,file]=$(other "llama.cpp, the file's weights" "$python" "$here/compare_llama_cpp.py" "${common[@]}" --weights as-is) ;;
    *) say "llama.cpp reads .gguf files only" ;;
  esac
fi

# The best rate of transformers, and of llama.cpp with any weights: what ours must beat in any dtype.
most() { printf '%s\n' "$@" | sort -g | tail -n 1; }
transformers_best=$(most "${rate[transformers,bf16]:-}" "${rate[transformers,f32]:-}")
llama_best=$(most "${rate[llama,bf16]:-}" "${rate[llama,file]:-}")

row='| %-34s | %-5s | %8s | %11s | %15s | %16s |\n'
line() { # NAME DTYPE RATE
  # shellcheck disable=SC2059
  printf "$row" "$1" "$2" "${3:--}" "$(ratio "${3:-}" "${rate[products,$2]:-}")" "$(ratio "${3:-}" "$transformers_best")" \
    "$(ratio "${3:-}" "$llama_best")"
}
echo "$("$tovamill" --version | head -n 1); $(basename "$model"); about $tokens tokens; $threads threads of" \
  "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | sed -n 1p)"
# shellcheck disable=SC2059
printf "$row" "" dtype tokens/s "/ products" "/ best transf." "/ best llama.cpp"
# shellcheck disable=SC2059
printf "$row" "$(printf '%034d' 0 | tr 0 -)" ----- -------- ----------- --------------- ----------------
for dtype in bf16 f32; do
  line "tova $cache_size, one document" "$dtype" "${rate[one,$dtype]}"
  line "tova $cache_size, four documents" "$dtype" "${rate[four,$dtype]}"
  line "full, chunks of 4096" "$dtype" "${rate[full,$dtype]}"
  line "matrix products alone in oneDNN" "$dtype" "${rate[products,$dtype]}"
done
line "transformers, chunks of 4096" bf16 "${rate[transformers,bf16]:-}"
line "transformers, chunks of 4096" f32 "${rate[transformers,f32]:-}"
line "llama.cpp, bf16 weights" bf16 "${rate[llama,bf16]:-}"
line "llama.cpp, the file's weights" - "${rate[llama,file]:-}"

[ "${PROFILE:-yes}" = yes ] || exit 0
if ! command -v perf >/dev/null; then
  echo "perf is missing: no profile"
  exit 0
fi

# Shares of the samples of one run (loading included) by what the functions do.
profile() { # DTYPE
  perf record --quiet --event cpu-clock --output "$work/perf.data" -- "$tovamill" score --model "$model" \
    --corpus "$work/one" --dtype "$1" --threads "$threads" --out "$work/out" --overwrite --log-format json "${tova[@]}" \
    "${run_options[@]}" >"$work/profile.json" 2>"$work/error.txt" || return 1
  perf report --input "$work/perf.data" --stdio --fields overhead,dso,symbol --percent-limit 0 2>/dev/null |
    awk -v dtype="$1" '
      /^ *[0-9.]+%/ {
        share = $1 + 0
        what = "other"
        if (/\[k\]/) what = "kernel"
        else if (/libdnnl|JIT|jit|\/\/anon|\[anon/) what = "products (oneDNN)"
        else if (/lib(c|m|gomp|stdc\+\+|pthread)[.-]|ld-linux|vdso/) what = "memory, libc"
        else if (/ThreadPool/) what = "threads: waiting, sharing out"
        else if (/::(scan|living_sum|mean_weights|remember|lowest_column)/) what = "scan: who leaves"
        else if (/::(exponentiate|mask)/) what = "attention: softmax and mask"
        else if (/::(multiply_block|multiply_rows|multiply|transpose)[< ]|::(multiply_block|multiply_rows|multiply|transpose)$/) what = "attention: products, transposes"
        else if (/::Attention::|CpuState|StateLayout|RotaryAngles/) what = "attention: the rest"
        else if (/sum_exp|target_nll/) what = "log-softmax of the head"
        else if (/rms_norm|sum_of_squares|norm2|::gate|rotate|to_bf16|from_bf16|add_bias|::scale/) what = "norms, gate, rotation, casts"
        else if (/tovamill/) what = "loading, tokenizing, the rest"
        sum[what] += share
      }
      END { for (what in sum) printf "| %-5s | %-32s | %5.1f %% |\n", dtype, what, sum[what] }' | sort -t'|' -k4,4 -g -r
}
echo
printf '| %-5s | %-32s | %7s |\n|-------|----------------------------------|---------|\n' dtype "where the time goes, tova $cache_size" share
for dtype in bf16 f32; do
  profile "$dtype" || say "no profile in $dtype: $(tail -n 1 "$work/error.txt")"
done
