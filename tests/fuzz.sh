#!/usr/bin/env bash
# Fuzzes every parser of bytes from outside with libFuzzer, under the address and undefined-behaviour sanitizers.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=jobs/quickstart/common.sh
. "$root/jobs/quickstart/common.sh"

manual() {
  cat <<'MANUAL'
Usage: tests/fuzz.sh [PARSER...] [options]
Fuzzes the parsers of bytes from outside: all, unless some are named.

  --minutes N     for each parser (10); fractions are allowed
  --list          names the parsers
  -h, --help      this text

Needs Clang 16 or later with libFuzzer (Debian: clang, libclang-rt-dev). Inputs that reach new code are kept in
build/fuzz/corpus/PARSER and found again by the next run; what is found wrong lies in build/fuzz/findings.

Prints a line for each parser: executions, blocks of code reached, inputs kept, findings.

Exit codes: 0 nothing was found; 1 something was; 64 wrong command line; 69 Clang is missing.
MANUAL
}

minutes=10 parsers=() list=no
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    --minutes) [ $# -gt 1 ] || refuse "--minutes wants a number"; minutes=$2; shift ;;
    --list) list=yes ;;
    -*) refuse "unknown argument '$1'" ;;
    *) parsers+=("$1") ;;
  esac
  shift
done
seconds=$(awk -v m="$minutes" 'BEGIN { if (m ~ /^[0-9]*\.?[0-9]+$/) printf "%d", m * 60 + 0.5 }')
[ -n "$seconds" ] && [ "$seconds" -gt 0 ] || refuse "--minutes $minutes: give a number of minutes"

folder="$root/build/fuzz" logs="$root/build/logs"
for made in "$root/build" "$folder" "$logs" "$folder/findings"; do make_folder "$made"; done
compiler=$(clang_with_runtimes) || fail 69 "Clang 16 or later with libFuzzer and libomp is missing (Debian 12: apt-get install clang-19 libclang-rt-19-dev libomp-19-dev)"
cmake -S "$root" -B "$folder/build" --preset debug -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF \
  -DTOVAMILL_FUZZ=ON -DTOVAMILL_TESTS=OFF -DTOVAMILL_BENCHMARKS=OFF >"$logs/fuzz_configure.log" 2>&1 ||
  fail 69 "configuring failed: $(reason_in "$logs/fuzz_configure.log") (log: $(short "$logs/fuzz_configure.log"))"
cmake --build "$folder/build" --target fuzz_parsers -j "$(n_compilers)" >"$logs/fuzz_build.log" 2>&1 ||
  fail 69 "building failed: $(reason_in "$logs/fuzz_build.log") (log: $(short "$logs/fuzz_build.log"))"
program="$folder/build/fuzz_parsers"
# Without TOVAMILL_FUZZ it names its parsers and exits with 64.
code=0
names=$("$program" 2>"$logs/fuzz_names.log") || code=$?
[ "$code" -eq 64 ] && [ -n "$names" ] || fail 1 "$(short "$program") names no parsers (exit code $code, log: $(short "$logs/fuzz_names.log"))"
mapfile -t all <<<"$names"
if [ "$list" = yes ]; then printf '%s\n' "${all[@]}"; exit 0; fi
for parser in "${parsers[@]}"; do
  printf '%s\n' "${all[@]}" | grep -qx "$parser" || refuse "unknown parser '$parser': --list names them"
done
[ "${#parsers[@]}" -gt 0 ] || parsers=("${all[@]}")
python3 "$root/tests/fuzz/make_seeds.py" "$folder/corpus"

found=0
for parser in "${parsers[@]}"; do
  log="$logs/fuzz_$parser.log"
  mkdir -p "$folder/corpus/$parser"
  before=$(find "$folder/findings" -name "$parser-*" | wc -l)
  code=0
  TOVAMILL_FUZZ=$parser "$program" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 \
    -artifact_prefix="$folder/findings/$parser-" -print_final_stats=1 "$folder/corpus/$parser" >"$log" 2>&1 || code=$?
  after=$(find "$folder/findings" -name "$parser-*" | wc -l)
  printf '%-12s %9s executions, %5s blocks, %5s inputs, %s findings\n' "$parser" \
    "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
    "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)" \
    "$(find "$folder/corpus/$parser" -type f | wc -l)" $((after - before))
  [ "$code" -ne 0 ] || continue
  found=1
  grep -E -m 3 'ERROR|runtime error|what\(\)' "$log" | sed 's/^/  /' || true
  echo "  $parser ended with code $code: ERROR (log: $(short "$log"))"
done
exit "$found"
