#!/usr/bin/env bash
# Perplexity of books by policy and size of the state, as Markdown: the table, and the command that made each cell.
#   pg19.sh MODEL BOOKS_DIR [--tokens-per-book N]      (N: 16384; a multiple of 4096)
# BOOKS_DIR holds a .txt file a book. Of each, about the first N tokens are taken, in whole lines, so that their last chunk
# may be short. Chunks of 4096 tokens are scored on their own, as in the paper.
# Every cell is a run of its own below the work directory; a script that was broken off continues. Set by the
# environment, beside what common.sh says: POLICIES, SIZES, DTYPE (auto).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="usage: $0 MODEL BOOKS_DIR [--tokens-per-book N]"
[ $# -eq 2 ] || [ $# -eq 4 ] || fail 64 "$usage"
model=$1
books=$2
n_tokens=16384
if [ $# -eq 4 ]; then
  [ "$3" = --tokens-per-book ] || fail 64 "$usage"
  n_tokens=$4
fi
if ! [[ $n_tokens =~ ^[1-9][0-9]*$ ]] || [ $((n_tokens % 4096)) -ne 0 ]; then
  fail 64 "--tokens-per-book: give a multiple of 4096"
fi
need "$model"
need "$books"
read -ra policies <<<"${POLICIES:-tova tova-ema window h2o full}"
read -ra sizes <<<"${SIZES:-128 256 512 1024 2048}"
work=${WORK:-$root/build/bench/pg19}
corpus="$work/books-$n_tokens"
own_folder "$work"
mkdir -p "$work/runs-$n_tokens"

[ -n "$(find "$books/" -maxdepth 1 -name '*.txt' -print -quit)" ] || fail 66 "$books holds no .txt files"
cut_books "$model" "$n_tokens" "$corpus" "$books"/*.txt

options_of() { # POLICY SIZE
  case "$1" in
    window) echo "--policy window --sinks 4 --cache-size $2" ;;
    full) echo "--policy full" ;;
    *) echo "--policy $1 --cache-size $2" ;;
  esac
}

run_of() { if [ "$1" = full ]; then echo full; else echo "$1-$2"; fi; }

command_of() { # POLICY SIZE
  echo "tovamill score --model $model --corpus $corpus --chunk-tokens 4096 --dtype ${DTYPE:-auto}" \
    "${run_options[@]}" "$(options_of "$1" "$2") --out $work/runs-$n_tokens/$(run_of "$1" "$2")"
}

# A run that is done only says its results again, and one of another model or options is refused.
cell() { # POLICY SIZE: perplexity and its standard error over books
  local run event value error options
  run=$(run_of "$1" "$2")
  read -ra options <<<"$(options_of "$1" "$2")"
  echo "# $run" >&2
  event=$("$tovamill" score --model "$model" --corpus "$corpus" --chunk-tokens 4096 --dtype "${DTYPE:-auto}" \
    --threads "$threads" "${run_options[@]}" "${options[@]}" --out "$work/runs-$n_tokens/$run" --log-format json |
    grep '"finished"')
  value=$(field perplexity_token <<<"$event")
  error=$(field perplexity_token_se <<<"$event")
  if [ -n "$error" ]; then printf '%.2f +- %.2f' "$value" "$error"; else printf '%.2f' "$value"; fi
}

declare -A cells
for policy in "${policies[@]}"; do
  for size in "${sizes[@]}"; do
    if [ "$policy" = full ] && [ "$size" != "${sizes[0]}" ]; then
      cells[full,$size]=${cells[full,${sizes[0]}]}
    else
      cells[$policy,$size]=$(cell "$policy" "$size")
    fi
  done
done

name_of() { if [ "$1" = window ]; then echo "window --sinks 4"; else echo "$1"; fi; }

echo "Perplexity per token (+- standard error over books) of the first $n_tokens tokens of" \
  "$(find "$corpus" -name '*.txt' | wc -l) books, in chunks of 4096, by tokens in the state;" \
  "$("$tovamill" --version | head -n 1), $(basename "$model"). \`full\` has no bound and is one run."
echo
printf '| %-16s |' policy
printf ' %14s |' "${sizes[@]}"
printf '\n|------------------|'
for size in "${sizes[@]}"; do printf -- '---------------:|'; done
for policy in "${policies[@]}"; do
  printf '\n| %-16s |' "$(name_of "$policy")"
  for size in "${sizes[@]}"; do printf ' %14s |' "${cells[$policy,$size]}"; done
done
printf '\n\n| policy | size | command |\n|---|---|---|\n'
for policy in "${policies[@]}"; do
  for size in "${sizes[@]}"; do
    # shellcheck disable=SC2016
    printf '| %s | %s | `%s` |\n' "$(name_of "$policy")" "$([ "$policy" = full ] && echo any || echo "$size")" "$(command_of "$policy" "$size")"
    [ "$policy" != full ] || break
  done
done
