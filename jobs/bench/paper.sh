#!/usr/bin/env bash
# What bounded states lose on books, as Markdown: every policy at every size of the state, and tova-ema with merged tokens
# and with budgets of the layers that were measured on other books. A line has the perplexity, the nats per token above
# `full`, the share of the gap between `tova` and `full` that it closes, and tokens/s.
#   paper.sh MODEL BOOKS_DIR [--tune-books N] [--tokens-per-book N]      (2; 16384, a multiple of 4096)
# BOOKS_DIR holds a .txt file a book. The first books by name are for `tovamill tune`, all others are scored: about the first
# N tokens of each, in whole lines, in chunks of 4096. Standard errors are over books and paired: of the differences that each
# book shows. Those of the shares take the gap as given.
# Every policy and size is a run of its own below the work directory, tova-ema a sweep of its variants; what was broken off is
# continued, and more sizes or policies are added to what is there. The last line names the page of `tovamill report`.
# Set by the environment, beside what common.sh says: POLICIES, SIZES, MERGE (16), DTYPE (auto).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
usage="usage: $0 MODEL BOOKS_DIR [--tune-books N] [--tokens-per-book N]"
[ $# -ge 2 ] || fail 64 "$usage"
model=$1 books=$2 n_tune=2 n_tokens=16384
shift 2
while [ $# -gt 0 ]; do
  [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || fail 64 "$usage"
  case "$1" in
    --tune-books) n_tune=$2 ;;
    --tokens-per-book) n_tokens=$2 ;;
    *) fail 64 "$usage" ;;
  esac
  shift 2
done
[ $((n_tokens % 4096)) -eq 0 ] || fail 64 "--tokens-per-book: give a multiple of 4096"
need "$model"
need "$books"
model=$(realpath "$model")
mapfile -t texts < <(find "$(realpath "$books")" -maxdepth 1 -name '*.txt' | LC_ALL=C sort)
[ "${#texts[@]}" -ge $((n_tune + 2)) ] ||
  fail 66 "$books holds ${#texts[@]} .txt files: $n_tune to tune and at least 2 to score are needed"
read -ra policies <<<"${POLICIES:-full tova tova-ema h2o window}"
read -ra sizes <<<"${SIZES:-128 256 512 1024}"
merge=${MERGE:-16}
for wanted in full tova; do
  [[ " ${policies[*]} " == *" $wanted "* ]] || fail 64 "POLICIES must hold full and tova, between which the gap is"
done
work=${WORK:-$root/build/bench/paper}
own_folder "$work"
work=$(realpath "$work")
cd "$work"  # a sweep takes budgets by a name without blanks
mkdir -p "runs-$n_tokens"
# What is kept rests on the model and on the books.
inputs=$(realpath "$model"; printf '%s\n' "$n_tune" "$merge" "${texts[@]}")
if [ -e inputs.txt ] && [ "$inputs" != "$(cat inputs.txt)" ]; then
  fail 78 "$work holds another model, other books or another MERGE: set WORK to a new folder"
fi
echo "$inputs" >inputs.txt
cut_books "$model" "$n_tokens" "tuned-on-$n_tokens" "${texts[@]:0:n_tune}"
cut_books "$model" "$n_tokens" "books-$n_tokens" "${texts[@]:n_tune}"

if [ ! -e budgets.json ] && [[ " ${policies[*]} " == *" tova-ema "* ]]; then
  echo "# tune" >&2
  "$tovamill" tune --model "$model" --corpus "tuned-on-$n_tokens" --texts "$n_tune" --merge "$merge" \
    --dtype "${DTYPE:-auto}" --threads "$threads" --output budgets.json >&2
fi

run_of() { if [ "$1" = full ]; then echo full; else echo "$1-$2"; fi; }

# run POLICY SIZE: scores; what the run said when it ended first stands beside its directory. A run that is done only says its
# results again, and one of other options is refused.
run() {
  local name out event options=(--policy "$1")
  name=$(run_of "$1" "$2")
  out="runs-$n_tokens/$name"
  case "$1" in
    full) ;;
    window) options+=(--cache-size "$2" --sinks 4) ;;
    tova-ema) options+=(--cache-size "$2" --sweep "merge=0,$merge budgets=none,budgets.json") ;;
    *) options+=(--cache-size "$2") ;;
  esac
  echo "# $name" >&2
  event=$("$tovamill" score --model "$model" --corpus "books-$n_tokens" --chunk-tokens 4096 --dtype "${DTYPE:-auto}" \
    --threads "$threads" "${run_options[@]}" "${options[@]}" --out "$out" --log-format json | grep '"finished"')
  [ -e "$out.json" ] || echo "$event" >"$out.json"
}

# speed RUN: tokens/s of a run, or of a setting as RUN:SETTING.
speed() {
  tr '{' '\n' <"runs-$n_tokens/${1%%:*}.json" |
    { if [[ $1 == *:* ]]; then grep -F "\"name\":\"${1#*:}\""; else cat; fi; } | field tokens_per_second
}

# label RUN: "tova-ema --merge 16 --budgets" of tova-ema-256:tova-ema-merge=16-budgets=budgets.json.
label() {
  local text=${1%%:*}
  text=${text%-[0-9]*}
  [ "$text" != window ] || text="window --sinks 4"
  [[ $1 != *merge=* ]] || [[ $1 == *merge=0* ]] || text+=" --merge $merge"
  [[ $1 != *budgets=budgets.json* ]] || text+=" --budgets"
  echo "$text"
}

# compared FIRST RUN...: of each run and setting its name, perplexity, difference to the first and the latter's error.
compared() {
  "$tovamill" compare "$@" --csv |
    awk -F, 'NR > 2 { sub(/.*\//, "", $1); print $1, exp($8), $12, $13 == "" ? "-" : $13 }'
}

for size in "${sizes[@]}"; do
  for policy in "${policies[@]}"; do run "$policy" "$size"; done
done

echo "Perplexity per token of about the first $n_tokens tokens of $((${#texts[@]} - n_tune)) books in chunks of 4096, nats per" \
  "token above \`full\`, and share of the gap between \`tova\` and \`full\` that is closed, +- paired standard error over" \
  "books; $("$tovamill" --version | head -n 1), $(basename "$model"), $threads threads. Budgets from $n_tune other books."
echo
echo "| size | policy | perplexity | nats above full | gap closed | tokens/s |"
echo "|---:|---|---:|---:|---:|---:|"
cd "runs-$n_tokens"
printf '| | full | %.2f | | | %.0f |\n' "$(field perplexity_token <full.json)" "$(cd .. && speed full)"
for size in "${sizes[@]}"; do
  runs=()
  for policy in "${policies[@]}"; do
    [ "$policy" = full ] || runs+=("$(run_of "$policy" "$size")")
  done
  mapfile -t above < <(compared full "${runs[@]}")
  mapfile -t beside < <(compared "tova-$size" "${runs[@]}")
  gap=$(printf '%s\n' "${above[@]}" | awk -v tova="tova-$size" '$1 == tova { print $3 }')
  for i in "${!above[@]}"; do
    read -r name value nats error <<<"${above[$i]}"
    read -r _ _ less less_error <<<"${beside[$i]}"
    closed=-
    [ "$name" = "tova-$size" ] || closed=$(awk -v d="$less" -v e="$less_error" -v gap="$gap" \
      'BEGIN { if (gap > 0) printf "%.0f +- %.0f %%", 0 - 100 * d / gap, 100 * e / gap; else printf "-" }')
    printf '| %s | %s | %.2f | %.4f +- %.4f | %s | %.0f |\n' "$size" "$(label "$name")" "$value" "$nats" "$error" \
      "$closed" "$(cd .. && speed "$name")"
  done
done
cd ..
pages=()
for size in "${sizes[@]}"; do
  for policy in "${policies[@]}"; do
    name="runs-$n_tokens/$(run_of "$policy" "$size")"
    [[ " ${pages[*]} " == *" $name "* ]] || pages+=("$name")
  done
done
"$tovamill" report "${pages[@]}" --output report.html >&2
echo
echo "Runs, budgets.json and report.html: $work"
