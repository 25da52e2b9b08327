#!/usr/bin/env bash
# Checks the sources beyond what the tests show: format, clang-tidy, shellcheck, CUDA compilation, sanitizers, fuzzing.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=jobs/quickstart/common.sh
. "$root/jobs/quickstart/common.sh"

manual() {
  cat <<'MANUAL'
Usage: jobs/check.sh [STEP...] [options]
Checks the sources beyond what the tests show. All steps, unless some are named:

  format   clang-format 14 changes nothing
  scripts  shellcheck finds nothing in the shell scripts
  tidy     clang-tidy 14 finds nothing of .clang-tidy's list in the program
  cuda     the CUDA build compiles for one architecture, where there is nvcc; a skip is said
  sanitize every test that starts no mpirun passes under the address and undefined-behaviour sanitizers
  fuzz     libFuzzer finds nothing in a minute shared by all parsers of bytes from outside (tests/fuzz.sh has more)

  --yes         do not ask before packages are installed
  --no-install  install nothing, check with what is there
  -h, --help    this text

Prints a line for each step with its time; what a step found stands in build/logs/check_STEP.log and on the screen.

Exit codes: 0 nothing was found; 1 something was; 64 wrong command line; 69 a tool is missing and cannot be had.
MANUAL
}

all_steps=(format scripts tidy cuda sanitize fuzz)
steps=() yes=() install=yes
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    --yes) yes=(--yes) ;;
    --no-install) install=no ;;
    format | scripts | tidy | cuda | sanitize | fuzz) steps+=("$1") ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done
[ "${#steps[@]}" -gt 0 ] || steps=("${all_steps[@]}")

logs="$root/build/logs" tools="$root/build/check-tools"
for folder in "$root/build" "$logs"; do make_folder "$folder"; done
if [ "$install" = yes ]; then
  "$root/jobs/install_dependencies.sh" tests check --log "$logs/install_check.log" "${yes[@]}"
fi
cd "$root"
n_jobs=$(n_compilers)

# of_version TOOL: prints the command of TOOL in version 14, whose output others do not repeat. Where the system has
# another, PyPI's package of the same name goes into a virtual environment below build/.
of_version() {
  local tool=$1 found
  for found in "$tool-14" "$tool" "$tools/bin/$tool"; do
    if command -v "$found" >/dev/null && "$found" --version | grep -qE 'version 14\.'; then
      command -v "$found"
      return
    fi
  done
  [ "$install" = yes ] || fail 69 "$tool 14 is not there (Debian 12: apt-get install $tool; PyPI: $tool==14.0.6)"
  {
    [ -x "$tools/bin/python3" ] || python3 -m venv "$tools"
    "$tools/bin/python3" -m pip install --quiet "$tool==14.0.6"
  } >"$logs/install_$tool.log" 2>&1 ||
    fail 69 "$tool 14 cannot be had: $(reason_in "$logs/install_$tool.log") (log: $(short "$logs/install_$tool.log"))"
  echo "$tools/bin/$tool"
}

# The sources, whether this is a clone or an unpacked archive.
sources() {
  find kernels engine io pipeline workers jobs tests -type f \( -name '*.h' -o -name '*.cc' -o -name '*.cu' \) | sort
}

check_format() {
  local tool
  tool=$(of_version clang-format)
  sources | xargs "$tool" --dry-run -Werror
}

check_scripts() {
  command -v shellcheck >/dev/null || fail 69 "shellcheck is not there (apt-get install shellcheck)"
  find jobs tests .ci -type f \( -name '*.sh' -o -name run -o -name '*.sbatch' \) -print0 |
    xargs -0 shellcheck --external-sources --severity=warning
}

# Of the program, its sources compiled together as in the preset `default`: a tenth of the time.
check_tidy() {
  local tool compiler folder=build/check-tidy
  tool=$(of_version clang-tidy)
  cmake -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DTOVAMILL_TESTS=OFF -DTOVAMILL_BENCHMARKS=OFF \
    -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON
  cmake --build "$folder" --target tovamill_build_header
  compiler=$(clang_with_runtimes) || fail 69 "clang's omp.h is not there (Debian: apt-get install clang libomp-dev)"
  sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$folder/compile_commands.json" | grep -v /headers/ |
    xargs -P "$n_jobs" -n 1 "$tool" -p "$folder" --quiet --extra-arg=-Wno-everything \
      --extra-arg=-idirafter"$("$compiler" -print-resource-dir)/include"  # where omp.h is
}

check_cuda() {
  local nvcc=/usr/local/cuda/bin/nvcc
  nvcc=$(command -v nvcc || echo "$nvcc")
  if ! [ -x "$nvcc" ]; then
    echo "skipped: there is no nvcc"
    return
  fi
  cmake -S . -B build/check-cuda -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DTOVAMILL_CUDA=ON -DTOVAMILL_TESTS=OFF \
    -DTOVAMILL_BENCHMARKS=OFF -DCMAKE_CUDA_COMPILER="$nvcc" -DCMAKE_CUDA_ARCHITECTURES=90-real
  cmake --build build/check-cuda --target tovamill -j "$n_jobs"
}

# Processes that mpirun starts would be watched as well, and take ten times as long: the preset `default` tests these.
# Clang compiles sanitized code three times as fast as GCC; its warnings are not ours. Benchmarks are no part of the program.
check_sanitize() {
  local compiler options=(-DTOVAMILL_BENCHMARKS=OFF)
  if compiler=$(clang_with_runtimes); then
    options+=(-DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF)
  fi
  cmake --preset debug "${options[@]}"
  cmake --build --preset debug -j "$n_jobs"
  ctest --preset debug -j $((2 * n_jobs)) -LE mpirun
}

# From the seeds, and what earlier runs have kept in build/fuzz.
check_fuzz() { tests/fuzz.sh --minutes 0.05; }

found=0
for step in "${steps[@]}"; do
  log="$logs/check_$step.log" begin=$SECONDS code=0
  # shellcheck disable=SC2317  # with_progress calls it
  tell() { printf '  ... %s, %d s: %s\n' "$step" $((SECONDS - begin)) "$(tail -n 1 "$log" | cut -c 1-90)"; }
  with_progress 60 tell bash -c "$(declare -f); set -euo pipefail; $(declare -p logs tools install n_jobs script root); check_$step" \
    >"$log" 2>&1 || code=$?
  if [ "$code" -eq 0 ]; then
    printf '%-10s %s (%d s)\n' "$step" "$(grep -m 1 '^skipped: ' "$log" || echo "nothing found")" $((SECONDS - begin))
  else
    printf '%-10s FOUND SOMETHING (%d s): %s\n' "$step" $((SECONDS - begin)) "$(short "$log")"
    sed -nE '/ note: |warnings generated|^  \.\.\. /d; /error|ERROR|warning|FAILED|\*\*\*Failed|not |SC[0-9]{4}| [1-9][0-9]* findings/s/^/  /p' "$log" | tail -n 40
    found=1
  fi
done
exit "$found"
