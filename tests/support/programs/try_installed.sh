#!/usr/bin/env bash
# try_installed.sh PREFIX: what somebody without any rights does with an installed tovamill, in an empty folder.
set -euo pipefail
prefix=$1
fail() { echo "try_installed.sh: $*" >&2; exit 1; }

command -v tovamill tovamill-launch
tovamill --version
for page in tovamill tovamill-score tovamill-launch tovamill-completion; do
  [ -s "$prefix/share/man/man1/$page.1" ] || fail "$page has no manual page"
done
grep -q 'tovamill-launch' "$prefix/share/tovamill/slurm/score.sbatch" || fail "the Slurm scripts name another launcher"

# shellcheck disable=SC1091
source "$prefix/share/bash-completion/completions/tovamill"
COMP_WORDS=(tovamill score --cache-s) COMP_CWORD=2
_tovamill
[ "${COMPREPLY[*]}" = --cache-size ] || fail "bash completes --cache-s to '${COMPREPLY[*]}'"

printf '%s\n' 'A first text of some words.' 'Once more, with other words.' >text.txt
tovamill score --model random:tiny --corpus text.txt --out one --threads 1
tovamill-launch -n 2 tovamill score --model random:tiny --corpus text.txt --out two --threads 1
tovamill export one --format csv | cmp - <(tovamill export two --format csv) || fail "two ranks have other results"
code=0
tovamill-launch -n 2 tovamill score --model random:tiny --corpus text.txt --out three --cache-size much || code=$?
[ "$code" -eq 64 ] || fail "a wrong option ends with $code"
