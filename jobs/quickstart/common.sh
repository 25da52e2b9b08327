# shellcheck shell=bash
# What quickstart.sh, install_dependencies.sh and test.sh share, to be sourced: messages, the question before something
# is installed, signs of life from what takes long, and the reason of a failure from the log of what failed. `root` is the
# tree's folder.

script=$(basename "$0")

# fail CODE LINE [MORE_LINES...]
fail() {
  local code=$1
  printf '%s: error: %s\n' "$script" "$2" >&2
  shift 2
  [ $# -eq 0 ] || printf '  %s\n' "$@" >&2
  exit "$code"
}
refuse() { fail 64 "$1 (see jobs/$script --help)"; }

# short PATH: as seen from the current folder, where it lies below it.
short() { echo "${1#"$PWD"/}"; }

# confirm QUESTION YES: asks at a terminal only, and not at all where YES is "yes".
confirm() {
  local answer
  [ "$2" != yes ] || return 0
  if ! [ -t 0 ]; then
    echo "(Not asked: standard input is not a terminal.)"
    return 0
  fi
  read -r -p "$1 [Y/n] " answer || answer=n
  [[ "$answer" =~ ^([yY]|[yY][eE][sS])?$ ]]
}

# with_progress SECONDS TELL COMMAND...: runs COMMAND and, every SECONDS, TELL beside it.
with_progress() {
  local every=$1 tell=$2 code=0 teller
  shift 2
  while sleep "$every" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do "$tell"; done &
  teller=$!
  # shellcheck disable=SC2064  # this teller
  trap "kill $teller 2>/dev/null" EXIT
  "$@" || code=$?
  kill "$teller" 2>/dev/null || true
  wait "$teller" 2>/dev/null || true
  trap - EXIT
  return "$code"
}

# Where downloads go through: the proxy of the environment, without a password in it.
through_proxy() {
  local proxy=${https_proxy:-${HTTPS_PROXY:-${http_proxy:-${HTTP_PROXY:-}}}}
  [ -z "$proxy" ] || sed -E 's|//[^/@]*@|//|; s|^| through the proxy |' <<<"$proxy"
}

# reason_in LOG: why apt, dnf, sudo, pip or a compiler failed, in a few words.
reason_in() {
  local log=$1
  says() { grep -qiE -e "$1" "$log"; }
  if says 'no space left|enough free space|disk quota exceeded|at least .* more space needed'; then
    echo "the disk is full"
  elif says 'password is required|not in the sudoers|is not allowed to|may not run sudo|incorrect password|no new privileges'; then
    echo "sudo does not let $(id -un) do it"
  elif says 'could not get lock|unable to acquire the dpkg'; then
    echo "another program is installing packages: wait for it"
  elif says 'dpkg was interrupted'; then
    echo "an earlier installation was broken off: as root, run dpkg --configure -a"
  elif says 'proxyerror|to proxy|407 |proxy authentication|tunnel connection failed|resolv.*proxy'; then
    echo "the proxy does not let it through$(through_proxy | sed 's/ through the proxy /: /')"
  elif says 'certificate_verify_failed|certificate verif|sslerror|not trusted'; then
    echo "a server's certificate is not trusted"
  elif says 'hash sum mismatch|do not match the hashes|incompleteread|connection broken:|connection reset|incomplete.download|wheel .* is invalid'; then
    echo "a download broke off on the way"
  elif says 'temporary failure|could not resolve|name or service not known|unreachable|connection refused|unable to connect|could not connect|new connection|timed out|timeout'; then
    echo "no server is reached$(through_proxy) (offline?)"
  elif says 'unable to locate package|no installation candidate|unable to find a match'; then
    echo "unknown packages: $(sed -nE "s/.*(locate package|match(es)?:|Package) '?([-a-z0-9+.]+).*/\3/p" "$log" | sort -u | paste -sd ' ')"
  elif says 'no matching distribution'; then
    echo "pip's package index does not have it"
  elif says 'killed signal|out of memory|cannot allocate memory'; then
    echo "the memory is not enough"
  elif says '^(E:|ERROR:|error:|.*[^a-z]error:)'; then
    grep -iE -m 1 '^(E:|ERROR:|error:|.*[^a-z]error:)' "$log" | cut -c 1-160
  else
    tail -n 1 "$log" | cut -c 1-160
  fi
}

# code_of REASON: 74 where the disk is full, else 69.
code_of() { if [ "$1" = "the disk is full" ]; then echo 74; else echo 69; fi; }

# reason_of_cmake LOG: what it did not find.
reason_of_cmake() {
  local missing
  missing=$({
    sed -nE "s/.*No package '([^']+)' found.*/\1/p; s/.*Could NOT find ([A-Za-z0-9_]+).*/\1/p" "$1"
    sed -nE 's/.*Could not find ([A-Za-z0-9]+)_(LIBRARY|INCLUDE_DIR).*/\1/p' "$1"
    sed -nE 's/.*configuration file provided by "([^"]+)".*/\1/p' "$1"
    sed -nE 's/^ *([A-Za-z0-9.]+) (or its|with its high-level) library is not found.*/\1/p' "$1"
    sed -nE 's/.*(No CMAKE_CXX_COMPILER|CMAKE_CXX_COMPILER not set).*/a C++ compiler/p' "$1"
    sed -nE 's/.*CMAKE_MAKE_PROGRAM is not set.*/make/p' "$1"
    sed -nE 's/.*(None of the required .(libutf8proc;utf8proc). found).*/utf8proc/p' "$1"
    sed -nE 's/.*cmake: (command )?not found.*/cmake/p' "$1"
    sed -nE 's/.*CMake ([0-9.]+) or higher is required.*/CMake \1 or later/p; s/.*Unrecognized "version" field.*/CMake 3.25 or later/p' "$1"
  } | awk '!seen[$0]++' | paste -sd , | sed 's/,/, /g')
  if [ -n "$missing" ]; then
    echo "missing: $missing"
  else
    reason_in "$1"
  fi
}

# configure LOG [OPTIONS...]: the preset `default`, quietly.
configure() {
  local log=$1
  shift
  (cd "${root:?}" && cmake --preset default "$@") >"$log" 2>&1
}

# fail_of_cmake LOG: the end where configuring failed.
fail_of_cmake() {
  local reason
  reason=$(reason_of_cmake "$1")
  fail "$(code_of "$reason")" "cmake cannot configure the build, $reason (log: $(short "$1"))" \
    "jobs/install_dependencies.sh installs packages; libraries of other prefixes are found by CMAKE_PREFIX_PATH and" \
    "PKG_CONFIG_PATH. Then start again."
}

# Prints a Clang that has std::source_location (16) and libomp; fails where there is none.
clang_with_runtimes() {
  local compiler
  for compiler in clang++ clang++-{21,20,19,18,17,16}; do
    if "$compiler" --version 2>/dev/null | grep -qE 'version (1[6-9]|[2-9][0-9])\.' &&
      echo '#include <omp.h>' | "$compiler" -fopenmp -fsyntax-only -x c++ - 2>/dev/null; then
      command -v "$compiler"
      return
    fi
  done
  return 1
}

# How many compilers at once: one a core, and 1 GiB of memory for each.
n_compilers() {
  awk -v cores="$(nproc)" '/^MemAvailable:/ { n = int($2 / 1048576) }
    END { if (n < 1) n = 1; print n < cores ? n : cores }' /proc/meminfo
}

# build LOG [OPTIONS...]: shows what cmake --build shows, ends where it fails.
build() {
  local log=$1 reason
  shift
  (cd "$root" && cmake --build --preset default -j "$(n_compilers)" "$@") 2>&1 | tee "$log" && return 0
  reason=$(reason_in "$log")
  fail "$(code_of "$reason")" "building failed, $reason (log: $(short "$log"))"
}

# make_folder FOLDER: ends where nothing can be written there.
make_folder() {
  local above=$1
  if ! { mkdir -p "$1" && : >"$1/.writable"; } 2>/dev/null; then
    while ! [ -e "$above" ]; do above=$(dirname "$above"); done
    if [ -w "$above" ] && [ "$(df -Pk "$above" | awk 'END { print $4 }')" -lt 100 ]; then
      fail 74 "$(short "$1") cannot be written: the disk is full"
    fi
    if [ -O "$above" ]; then fail 73 "$(short "$1") cannot be written: $above is read-only"; fi
    fail 73 "$(short "$1") cannot be written: $above belongs to $(stat -c %U "$above" 2>/dev/null || echo others)," \
      "you are $(id -un). Clone into a folder of your own, or make it yours (chown)."
  fi
  rm -f "$1/.writable"
}

# need_space FOLDER MEGABYTES: ends where fewer are free.
need_space() {
  local free
  free=$(df -Pk "$1" 2>/dev/null | awk 'END { print int($4 * 1024 / 1000000) }')
  if [ "${free:-$2}" -lt "$2" ]; then fail 74 "the disk is full: $(short "$1") needs $2 MB, and $free MB are free"; fi
}
