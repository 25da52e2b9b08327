#!/usr/bin/env bash
# All that is to be seen on a machine with a GPU, in one go: builds with CUDA, runs the tests on it, compute-sanitizer,
# what must be the same always, the benchmarks, and prints one table of what passed. The exit code is 0 where all of it
# did, 1 where something did not, 69 where there is no GPU, 64 for a wrong command line, 66 where a command is missing.
#   gpu_check.sh [--build DIR] [--out DIR] [--model PATH] [--text PATH] [--quick] [STAGE...]
# Stages, all of them by default and in this order:
#   build        install what is missing (jobs/install_dependencies.sh), configure by the preset `cuda`, compile
#   tests        tests of kernels, engine and workers on the GPU; the others as on a machine without one
#   sanitizer    memcheck, racecheck and synccheck of the tests of kernels
#   determinism  two runs of `score`, and runs of 1 and of 8 documents side by side, give the same results.h5
#   stages       where there are two GPUs: a model cut in two over them gives the same results.h5, its rows go by NCCL
#   accuracy     --device cuda against --device cpu in f32: in f32 the NLL of every token within 1e-3 up to the first death that
#                differs in a document (rounding decides between tokens that are nearly equal); in bf16 of 95 % of them
#                within 0.2, and the perplexity within 0.5 %
#   bench        gpu_benchmark: scoring, decoding, a small model; against the bars
# --build  a build directory with CUDA (build-cuda); it is configured where it is empty
# --out    where logs and runs go (gpu_check below the build directory)
# --model  a small model for texts: the quickstart's, where it is there, else random weights
# --text   a text for it: this repository's own sources, unless given
# --quick  smaller sizes and a model of 135 M parameters in `bench`, whose bars then mean nothing
set -euo pipefail
shopt -s inherit_errexit
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=$root/build-cuda out='' model='' text='' quick=no
all_stages=(build tests sanitizer determinism stages accuracy bench)
stages=() launcher=() n_gpus=0

usage() {
  sed -n '2,/^set -e/p' "${BASH_SOURCE[0]}" | sed -n 's/^# \{0,1\}//p'
}
fail() {
  local code=$1
  shift
  echo "gpu_check.sh: $*" >&2
  exit "$code"
}
while [ $# -gt 0 ]; do
  case $1 in
    --build | --out | --model | --text)
      [ $# -gt 1 ] || fail 64 "$1 wants a path"
      case $1 in
        --build) build=$2 ;;
        --out) out=$2 ;;
        --model) model=$2 ;;
        --text) text=$2 ;;
      esac
      shift ;;
    --quick) quick=yes ;;
    -h | --help) usage; exit 0 ;;
    -*) fail 64 "unknown option $1 (see --help)" ;;
    *)
      [[ " ${all_stages[*]} " == *" $1 "* ]] || fail 64 "unknown stage $1: choose of ${all_stages[*]}"
      stages+=("$1") ;;
  esac
  shift
done
[ ${#stages[@]} -gt 0 ] || stages=("${all_stages[@]}")
for file in "$model" "$text"; do
  case $file in '' | random:*) ;; *) [ -e "$file" ] || fail 66 "$file does not exist" ;; esac
done
if [ ! -d "$build" ]; then
  [[ " ${stages[*]} " == *" build "* ]] || fail 66 "$build does not exist: run the stage build first"
  mkdir -p "$build"
fi
build=$(cd "$build" && pwd)
out=${out:-$build/gpu_check}
mkdir -p "$out"
out=$(cd "$out" && pwd)
case $model in '' | random:* | /*) ;; *) model=$PWD/$model ;; esac
quickstart=$root/build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf
if [ -z "$model" ]; then
  model=random:smollm2-135m
  if [ -e "$quickstart" ]; then model=$quickstart; fi
fi

wants() { [[ " ${stages[*]} " == *" $1 "* ]]; }
say() { echo "# $(date +%T) $*" >&2; }

# ---- the table

names=() results=() details=()
record() { # NAME PASS|FAIL|"not run" DETAIL
  names+=("$1") results+=("$2") details+=("$3")
  say "$1: $2${3:+ ($3)}"
}
finish() { # the table, and the exit code that it means unless one is given
  local code=${1:-} i
  printf '\n| %-60s | %-7s | %s |\n|%s|%s|%s|\n' check result detail "$(printf '%062d' 0 | tr 0 -)" --------- --------
  for i in "${!names[@]}"; do
    printf '| %-60s | %-7s | %s |\n' "${names[$i]}" "${results[$i]}" "${details[$i]}"
    [ "${results[$i]}" = PASS ] || code=${code:-1}
  done
  echo "Logs: $out"
  exit "${code:-0}"
}
# run NAME LOG SECONDS COMMAND...: PASS where it exits with 0.
run() {
  local name=$1 log=$out/$2.log seconds=$3 code=0 begin=$SECONDS
  shift 3
  say "$name"
  timeout --kill-after=30 "$seconds" "$@" >"$log" 2>&1 </dev/null || code=$?
  case $code in
    0) record "$name" PASS "$((SECONDS - begin)) s" ;;
    124 | 137) record "$name" FAIL "not done in $seconds s, see $log" ;;
    *) record "$name" FAIL "exit code $code, see $log" ;;
  esac
  return "$code"
}
# at_least NAME VALUE BAR: a bar of the benchmarks.
at_least() {
  if awk -v v="$2" -v b="$3" 'BEGIN { exit !(v != "" && v + 0 >= b + 0) }'; then
    record "$1" PASS "$2, the bar is $3"
  else
    record "$1" FAIL "${2:-no number}, the bar is $3"
  fi
}

# ---- what is there

jobs=$(nproc)
for folder in "${CUDA_HOME:-/usr/local/cuda}/bin" /usr/local/cuda-1[2-9]*/bin; do
  if [ -d "$folder" ]; then PATH=$PATH:$folder; fi
done
how_to_get="part of the CUDA toolkit, 12.4 or later: https://developer.nvidia.com/cuda-downloads (there: Linux, your \
distribution, deb (network); then apt-get install cuda-toolkit)"

build_stage() {
  if [ -e "$build/CMakeCache.txt" ] && ! grep -q '^TOVAMILL_CUDA:[A-Z]*=ON' "$build/CMakeCache.txt"; then
    fail 64 "$build is a build without CUDA: give another --build"
  fi
  "$root/jobs/install_dependencies.sh" tests
  command -v cmake >/dev/null || fail 66 "cmake is missing: install cmake 3.25 or later"
  if ! command -v nvcc >/dev/null && [ ! -e "$build/CMakeCache.txt" ]; then
    record "build" FAIL "nvcc is missing: $how_to_get"
    finish 66
  fi
  if [ ! -e "$build/CMakeCache.txt" ]; then
    run configure configure 300 cmake -S "$root" --preset cuda -B "$build" || finish 1
  fi
  run build build 7200 cmake --build "$build" -j "$jobs" || finish 1
}

# One line where no GPU can be used.
find_gpu() {
  local device
  [ -x "$build/gpu_benchmark" ] || fail 66 "$build/gpu_benchmark is not there: run the stage build first"
  if ! device=$("$build/gpu_benchmark" device 2>&1); then
    echo "No GPU: ${device##*: error: }" >&2
    for stage in "${stages[@]}"; do
      if [ "$stage" != build ]; then record "$stage" "not run" "no GPU"; fi
    done
    finish 69
  fi
  say "$device"
  n_gpus=$(grep -c . <<<"$device" || true)
}

# ---- the stages

tests_stage() {
  local folder
  # One after another: each backend takes memory of the GPU for itself.
  for folder in kernels engine workers; do
    run "tests of $folder" "tests_$folder" 3600 "$build/tests_$folder" || true
    if grep -q 'no GPU' "$out/tests_$folder.log"; then
      record "tests of $folder: all on the GPU" FAIL "some were skipped, see $out/tests_$folder.log"
    fi
  done
  run "tests without a GPU" tests_cpu 3600 env CUDA_VISIBLE_DEVICES= ctest --test-dir "$build" -j "$jobs" \
    --output-on-failure --no-tests=error || true
}

sanitizer_stage() {
  if ! command -v compute-sanitizer >/dev/null; then
    record "compute-sanitizer" FAIL "it is missing: $how_to_get, or apt-get install cuda-sanitizer-12-8 of your version"
    return
  fi
  # Those that run kernels of ours at small sizes: what takes minutes at most under the slowest tool.
  local -A filter=(
    [kernels]='Cuda*:*cuda*:Decode.*:GrownState.*:CopiedState.*:SavedState.*Gpu*'
    [engine]='*Lanes*:*ForwardLogits*cuda*:*Golden.*llama3_cuda*:*Golden.*qwen2_cuda*:*Golden.*qwen3_cuda*')
  local tool folder log help only=() more
  # cuBLAS's kernels are not ours to check, and slow to.
  help=$(compute-sanitizer --help 2>&1 || true)
  if [[ $help == *--kernel-name[\ \]]* ]]; then only=(--kernel-name kns=tovamill); fi
  for tool in memcheck racecheck synccheck; do
    more=()
    # What our own calls return is checked by the program; libraries ask for what may not be there.
    if [ "$tool" = memcheck ] && [[ $help == *--report-api-errors* ]]; then more=(--report-api-errors no); fi
    for folder in kernels engine; do
      log=$tool-$folder
      run "compute-sanitizer $tool, tests of $folder" "$log" 3600 compute-sanitizer --tool "$tool" --error-exitcode 9 \
        "${only[@]}" "${more[@]}" "$build/tests_$folder" --gtest_filter="${filter[$folder]}" || true
      # Its exit code does not tell of everything, and a filter that fits no test finds nothing wrong.
      if ! grep -q 'SUMMARY: 0 ' "$out/$log.log" || grep -q 'PASSED  \] 0 tests' "$out/$log.log"; then
        record "compute-sanitizer $tool, $folder: its summary" FAIL "$(grep SUMMARY: "$out/$log.log" || echo none), see $out/$log.log"
      fi
    done
  done
}

# A corpus of this repository's own making: its sources, as documents of several lengths.
write_corpus() { # FOLDER N_BYTES
  local folder=$1 n_bytes=$2 all=$out/all.txt n=0 at=1 length have
  rm -rf "$folder"
  mkdir -p "$folder"
  if [ -n "$text" ]; then cp "$text" "$all"; else
    find "$root" -path "$root/build*" -prune -o \( -name '*.md' -o -name '*.h' -o -name '*.cc' -o -name '*.cu' \) -print |
      LC_ALL=C sort | xargs cat >"$all"
  fi
  have=$(stat -c %s "$all")
  [ "$have" -gt 0 ] || fail 66 "${text:-$root} holds no text for a corpus"
  while [ "$at" -le "$n_bytes" ]; do
    length=$((2000 + (n * 7919) % 30000))
    # Round and round. iconv leaves out characters that are cut in two, and says so by its exit code.
    dd if="$all" iflag=skip_bytes,count_bytes bs=64K skip="$(((at - 1) % have))" count="$length" status=none >"$out/piece"
    if ! LC_ALL=C iconv -c -f UTF-8 -t UTF-8 "$out/piece" >"$folder/$(printf %05d "$n").txt" 2>"$out/iconv.log" &&
      [ -s "$out/iconv.log" ] && ! grep -q character "$out/iconv.log"; then
      fail 74 "$(cat "$out/iconv.log")"
    fi
    at=$((at + length)) n=$((n + 1))
  done
  rm -f "$out/piece" "$out/iconv.log"
  find "$folder" -size 0 -delete
}
score() { # RUN OPTION...: by `launcher`
  local name=$1
  shift
  timeout 1800 "${launcher[@]}" "$build/tovamill" score --model "$model" --corpus "$out/corpus" --out "$out/runs/$name" --overwrite \
    --cache-size 128 "$@" >"$out/score-$name.log" 2>&1
}
same() { # NAME A B
  if "$build/compare_results" "$out/runs/$2/results.h5" "$out/runs/$3/results.h5" >"$out/compare-$2-$3.log" 2>&1; then
    record "$1" PASS ""
  else
    record "$1" FAIL "see $out/compare-$2-$3.log"
  fi
}

determinism_stage() {
  write_corpus "$out/corpus" 400000
  local run options=(--device cuda --token-nll --trace-state)
  for run in first second one; do
    local more=(--streams 8)
    if [ "$run" = one ]; then more=(--streams 1); fi
    if ! score "$run" "${options[@]}" "${more[@]}"; then
      record "determinism" FAIL "a run of score failed, see $out/score-$run.log"
      return
    fi
  done
  same "two runs give the same results.h5" first second
  same "1 stream gives what 8 side by side give" one first
}

stages_stage() {
  if [ "$n_gpus" -lt 2 ]; then
    say "stages: left out, they take two GPUs"
    return
  fi
  write_corpus "$out/corpus" 400000
  local options=(--device cuda --token-nll --trace-state --streams 8) run
  for run in whole staged; do
    if [ "$run" = staged ]; then
      local launcher=(env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 2 --bind-to none --oversubscribe)
      options+=(--stages 2)
    fi
    if ! score "$run" "${options[@]}"; then
      record "stages" FAIL "a run of score failed, see $out/score-$run.log"
      return
    fi
  done
  same "2 stages give what a whole model gives" staged whole
  if grep -q 'rows by NCCL' "$out/score-staged.log"; then
    record "rows between stages go by NCCL" PASS "$(grep -o '[0-9,.]* tokens/s' "$out/score-staged.log" | tail -n 1)"
  else
    record "rows between stages go by NCCL" FAIL "see $out/score-staged.log"
  fi
}

accuracy_stage() {
  write_corpus "$out/corpus" 100000
  local policy kind dtype device
  for policy in tova full; do
    local options=(--policy "$policy" --token-nll --trace-state)
    if [ "$policy" = full ]; then options+=(--chunk-tokens 2048); fi
    for kind in cpu-f32 cuda-f32 cuda-bf16; do
      device=${kind%-*} dtype=${kind#*-}
      if ! score "$policy-$kind" --device "$device" --dtype "$dtype" "${options[@]}"; then
        record "accuracy, $policy" FAIL "a run of score failed, see $out/score-$policy-$kind.log"
        continue 2
      fi
    done
    run "NLL of each token as the CPU's, f32, $policy" "near-$policy" 600 "$build/compare_results" --near \
      "$out/runs/$policy-cuda-f32/results.h5" "$out/runs/$policy-cpu-f32/results.h5" || true
    run "NLL near the CPU's f32, bf16, $policy" "near-$policy-bf16" 600 "$build/compare_nll" \
      "$out/runs/$policy-cpu-f32/results.h5" "$out/runs/$policy-cuda-bf16/results.h5" 0.2 0.95 0.005 || true
  done
}

number() { # BENCHMARK KEY LOG: with three digits behind the point, or nothing
  sed -n 's/^{"benchmark":"'"$1"'".*"'"$2"'":\([-+.0-9eE]*\).*/\1/p' "$3" | tail -n 1 | awk '{ printf "%.3f", $1 }'
}
bench_stage() {
  local big=random:llama-7b sizes=() bytes=60000000 share
  if [ "$quick" = yes ]; then
    big=random:smollm2-135m bytes=3000000
    sizes=(--streams 8 --seconds 2 --repeats 3 --document-tokens 8192)
  fi
  if run "gpu_benchmark score" bench_score 2400 "$build/gpu_benchmark" score --model "$big" "${sizes[@]}"; then
    share=$(number score_summary tova_share "$out/bench_score.log")
    at_least "scoring, share of the products alone" "$share" 0.70
    at_least "scoring, tova against full" \
      "$(awk -v a="$share" -v b="$(number score_summary full_share "$out/bench_score.log")" \
        'BEGIN { if (b > 0) printf "%.2f", a / b }')" 1.00
  fi
  if run "gpu_benchmark decode" bench_decode 2400 "$build/gpu_benchmark" decode --model "$big" "${sizes[@]}"; then
    local what key
    for what in '' greedy_; do
      key=${what:+, tokens brought to the host}
      at_least "decoding, tova 512 / full 4096$key" "$(number decode_summary "tova_512_${what}ratio" "$out/bench_decode.log")" 4.8
      at_least "decoding, share of the bandwidth$key" "$(number decode_summary "tova_512_${what}share" "$out/bench_decode.log")" 0.70
    done
  fi
  write_corpus "$out/bench_corpus" "$bytes"
  if run "gpu_benchmark smollm" bench_smollm 1200 "$build/gpu_benchmark" smollm --model "$model" --corpus "$out/bench_corpus" \
    "${sizes[@]}"; then
    local slower
    slower=$(sed -n 's/.*"slower_part":"\([a-z]*\)".*/\1/p' "$out/bench_smollm.log")
    if [ "$slower" = steps ]; then
      record "a small model is not bound by tokenising" PASS ""
    else
      record "a small model is not bound by tokenising" FAIL "see $out/bench_smollm.log"
    fi
  fi
  cat "$out"/bench_{score,decode,smollm}.log
}

if wants build; then build_stage; fi
if [ "${stages[*]}" = build ]; then finish; fi
find_gpu
if wants tests; then tests_stage; fi
if wants sanitizer; then sanitizer_stage; fi
if wants determinism; then determinism_stage; fi
if wants stages; then stages_stage; fi
if wants accuracy; then accuracy_stage; fi
if wants bench; then bench_stage; fi
finish
