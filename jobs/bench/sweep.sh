#!/usr/bin/env bash
# What a sweep of eight settings costs against its parts: the seconds of computing that the journals' footers say, of the
# sweep and of a run of each setting alone, one after another, on the same documents. At most 1.05 is wanted.
#   sweep.sh [MODEL [CORPUS]]      (the quickstart's model and corpus)
# Set by the environment, beside what common.sh says: POLICIES (all eight), SIZES (256; with more there are more than eight
# settings), DTYPE (auto), LIMIT (documents; 0: all).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
model=${1:-$quickstart_model}
corpus=${2:-$(dirname "$quickstart_text")}
work=${WORK:-$root/build/bench/sweep}
need "$model"
need "$corpus"
own_folder "$work"
read -ra policies <<<"${POLICIES:-full tova tova-head tova-ema h2o h2o-head window random}"
read -ra sizes <<<"${SIZES:-256}"

# run NAME OPTIONS...: scores the corpus; prints the seconds of computing.
run() {
  local out=$work/$1
  shift
  rm -rf "$out"
  "$tovamill" score --model "$model" --corpus "$corpus" --limit "${LIMIT:-0}" --dtype "${DTYPE:-auto}" \
    --threads "$threads" --out "$out" "${run_options[@]}" "$@" >"$out.txt" 2>&1 || { cat "$out.txt" >&2; return 1; }
  "$tovamill" inspect "$out/journal/0-1.log" --json |
    sed -n 's/.*"seconds_computing": *\([0-9.e+-]*\).*/\1/p' | head -n 1
}

names=() settings=()
for policy in "${policies[@]}"; do
  for size in "${sizes[@]}"; do
    if [ "$policy" = full ] && [[ " ${names[*]} " == *" full "* ]]; then continue; fi
    name=$policy
    if [ "$policy" != full ] && [ "${#sizes[@]}" -gt 1 ]; then name+=-$size; fi
    names+=("$name")
    settings+=("--policy $policy --cache-size $size")
  done
done
IFS=,
sweep="policy=${policies[*]} cache-size=${sizes[*]}"
unset IFS

echo "$("$tovamill" --version | head -n 1); $(basename "$model"); ${#names[@]} settings; $threads threads"
echo "| setting       | seconds |"
echo "|---------------|---------|"
parts=()
for i in "${!names[@]}"; do
  read -ra options <<<"${settings[$i]}"
  seconds=$(run "alone-${names[$i]}" "${options[@]}")
  printf '| %-13s | %7.2f |\n' "${names[$i]}" "$seconds"
  parts+=("$seconds")
done
whole=$(run sweep --sweep "$sweep")
printf '| %-13s | %7.2f |\n' sweep "$whole"
n=$(printf '%s\n' "${names[@]}" | awk 'NR == FNR { wanted[$1]; next } $1 in wanted { ++n } END { print n + 0 }' - "$work/sweep.txt")
[ "$n" -eq "${#names[@]}" ] || fail 1 "the sweep had other settings than ${names[*]}: see $work/sweep.txt"
printf '%s\n' "${parts[@]}" | awk -v whole="$whole" '{ sum += $1 } END { printf "| sweep / sum   | %7.3f |\n", whole / sum }'
