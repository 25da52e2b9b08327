#!/usr/bin/env bash
# make_manual.sh TOVAMILL LAUNCHER FOLDER: the manual pages of every command and the completion of bash and zsh, as the
# programs themselves describe their options. FOLDER/complete is written last.
set -euo pipefail
[ $# -eq 3 ] || { echo "usage: $0 TOVAMILL LAUNCHER FOLDER" >&2; exit 64; }
tovamill=$1 launcher=$2 folder=$3

# The launcher's own help as a page: what it says is laid out already.
launcher_page() {
  printf '.TH TOVAMILL-LAUNCH 1 "" "%s" "User Commands"\n' "$("$tovamill" --version | sed -n '1s/^\(tovamill [^ ]*\).*/\1/p')"
  printf '.SH NAME\ntovamill\\-launch \\- start tovamill as several ranks, and again where all are lost\n'
  printf '.SH SYNOPSIS\n.nf\n'
  bash "$launcher" --help | awk '
    { gsub(/\\/, "\\e"); gsub(/-/, "\\-"); if ($0 ~ /^[.\x27]/) $0 = "\\&" $0 }
    NR == 1 { sub(/^Usage: */, "") }
    !described && /^$/ { print ".fi\n.SH DESCRIPTION\n.nf"; described = 1; next }
    { print }'
  printf '.fi\n.SH SEE ALSO\n.BR tovamill (1)\n'
}

rm -rf "$folder"
mkdir -p "$folder/man1"
"$tovamill" help --man >"$folder/man1/tovamill.1"
launcher_page >"$folder/man1/tovamill-launch.1"
for command in $("$tovamill" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
  case "$command" in help | version) continue ;; esac
  "$tovamill" help --man "$command" >"$folder/man1/tovamill-$command.1"
done
"$tovamill" completion bash >"$folder/tovamill.bash"
"$tovamill" completion zsh >"$folder/_tovamill"
touch "$folder/complete"
