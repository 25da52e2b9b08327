# shellcheck shell=bash disable=SC2034
# What the benchmarks share, to be sourced: where program, model and text are, texts of a wanted length, JSON fields.
#   TOVAMILL  the program (build/tovamill); its benchmarks are expected beside it
#   THREADS   threads of everything (every core that this process may use)
#   WORK      folder for texts and runs
#   RUN_OPTIONS  more options of `tovamill score`, for instance "--positions absolute"
set -euo pipefail
shopt -s inherit_errexit
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tovamill=${TOVAMILL:-$root/build/tovamill}
threads=${THREADS:-$(nproc)}
quickstart_model="$root/build/quickstart/SmolLM2-135M-Instruct.Q4_1.gguf"
quickstart_text="$root/build/quickstart/corpus/jargon-a-to-c.txt"
read -ra run_options <<<"${RUN_OPTIONS:-}"

fail() {
  local code=$1
  shift
  echo "$*" >&2
  exit "$code"
}

[ -x "$tovamill" ] || fail 66 "$tovamill is not there: build it first, or set TOVAMILL"

# own_folder FOLDER: makes the folder for texts and runs, from which earlier ones are deleted; stops where it holds what
# no benchmark has put there.
own_folder() {
  if [ -d "$1" ] && [ ! -e "$1/.tovamill-bench" ] && [ -n "$(ls -A "$1")" ] && [[ "$1" != "$root"/build/* ]]; then
    fail 78 "$1 holds other things: set WORK to a new or an empty folder"
  fi
  mkdir -p "$1"
  : >>"$1/.tovamill-bench"
}

# need PATH: stops where an input is missing.
need() { [ -e "$1" ] || fail 66 "$1 does not exist (without arguments, jobs/quickstart.sh must have been run before)"; }

# first_bytes N < TEXT: at most N bytes, none of them of a broken UTF-8 character at the end.
first_bytes() {
  head -c "$1" | { iconv -c -f UTF-8 -t UTF-8 2>/dev/null || true; }
}

# count_tokens MODEL FILE: tokens of a .txt file.
count_tokens() {
  "$tovamill" tokenize --model "$1" --corpus "$2" | sed -n 's/.*"n_tokens": *\([0-9]*\).*/\1/p' | tail -n 1
}

# cut_text MODEL TEXT TOKENS TARGET: about TOKENS tokens of TEXT, by the bytes that a token of its beginning has. A text
# that is too short is repeated.
cut_text() {
  local model=$1 text=$2 tokens=$3 target=$4 n_sample n_bytes have
  first_bytes 200000 <"$text" >"$target"
  n_sample=$(count_tokens "$model" "$target")
  n_bytes=$((tokens * $(stat -c %s "$target") / n_sample))
  have=$(stat -c %s "$text")
  if [ "$have" -lt "$n_bytes" ]; then
    echo "$text has fewer than $tokens tokens and is repeated" >&2
  fi
  {
    for ((copies = 0; copies * have < n_bytes; ++copies)); do cat "$text" 2>/dev/null || break; done
  } | first_bytes "$n_bytes" >"$target" || true  # `head` closes the pipe early
}

# cut_books MODEL TOKENS TARGET BOOK...: a folder of about the first TOKENS tokens of each book: cut by bytes (TOKENS times
# the bytes that a token of its beginning has), then at the last line boundary before, so that they have a few tokens fewer.
cut_books() {
  local model=$1 n_tokens=$2 target=$3 book sample cut n_bytes
  shift 3
  [ ! -e "$target.complete" ] || return 0
  sample="$target.sample.txt"
  rm -rf "$target"
  mkdir -p "$target"
  for book in "$@"; do
    cut="$target/$(basename "$book")"
    first_bytes $((n_tokens * 5)) <"$book" >"$sample"
    n_bytes=$((n_tokens * $(stat -c %s "$sample") / $(count_tokens "$model" "$sample")))
    first_bytes "$n_bytes" <"$book" >"$cut"
    # The last line is whole only where the book ends there.
    [ "$(stat -c %s "$book")" -le "$n_bytes" ] || [ "$(wc -l <"$cut")" -eq 0 ] || sed -i '$d' "$cut"
  done
  rm -f "$sample"
  touch "$target.complete"
}

# field NAME < JSON: the first number of that name.
field() { sed -n 's/.*"'"$1"'": *\([-+.0-9eE]*\).*/\1/p' | tail -n 1; }

# ratio A B: "1.23", or "-" where one of them is not there.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a + 0 > 0 && b + 0 > 0) printf "%.2f", a / b; else printf "-" }'; }
