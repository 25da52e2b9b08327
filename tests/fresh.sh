#!/usr/bin/env bash
set -uo pipefail

manual() {
  cat <<'MANUAL'
Usage: tests/fresh.sh bookworm|trixie [--mirror URL] [--folder DIR] [STEP...]

What a new user does, on a system with nothing installed: makes a root of Debian 12 or 13 with debootstrap, clones this
repository into it (its last commit), runs the README's two commands, installs, uninstalls, makes the Debian package, and
installs that in a second root that has never seen a compiler; each time the program runs as another user. Prints a table
with the seconds of each step; exits 1 where one fails (its log is named). Steps, all unless some are named:
  quickstart tests install package custom

Needs root, debootstrap, a mirror and 8 GB in --folder (/tmp by default); takes 25 to 40 minutes on two cores, of which
the tests are the most. Leaves nothing behind but the logs of what failed.
MANUAL
}

suite='' mirror=http://deb.debian.org/debian parent=/tmp steps=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    bookworm | trixie) suite=$1 ;;
    --mirror) mirror=${2:?--mirror needs a value}; shift ;;
    --folder) parent=${2:?--folder needs a value}; shift ;;
    quickstart | tests | install | package | custom) steps+=("$1") ;;
    *) echo "fresh.sh: '$1' is no suite, step or option (see tests/fresh.sh --help)" >&2; exit 64 ;;
  esac
  shift
done
[ -n "$suite" ] || { manual >&2; exit 64; }
[ "${#steps[@]}" -gt 0 ] || steps=(quickstart tests install package custom)
[ "$(id -u)" -eq 0 ] || { echo "fresh.sh: needs root, for debootstrap and chroot" >&2; exit 64; }
command -v debootstrap >/dev/null || { echo "fresh.sh: debootstrap is missing: apt-get install debootstrap" >&2; exit 69; }

source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d "$parent/tovamill-fresh-XXXXXX")
chmod 755 "$work"
root=$work/root
failed=0
trap 'if [ "$failed" -eq 0 ]; then rm -rf "$work"; else rm -rf "$work"/root "$work"/bare "$work"/user "$work"/cluster; fi' EXIT

# Runs standard input as a script in a root, in namespaces of its own: what it starts ends with it.
inside() {  # ROOT
  # shellcheck disable=SC2016  # for the inner shell
  unshare --mount --pid --fork --kill-child bash -c '
    mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/dev/shm" &&
      mount --rbind /sys "$1/sys" && exec chroot "$1" /usr/bin/env -i HOME=/root PATH="$PATH" LANG=C.UTF-8 \
      DEBIAN_FRONTEND=noninteractive bash -euo pipefail -s' _ "$1"
}

step() {  # NAME CLAIM COMMAND...
  local start=$SECONDS result=ok
  if ! "${@:3}" >"$work/$1.log" 2>&1; then result=FAILED failed=1; fi
  printf '%-8s %4d s  %s\n' "$result" "$((SECONDS - start))" "$2"
  if [ "$result" = FAILED ]; then tail -n 25 "$work/$1.log" | sed 's/^/    /'; echo "    (all of it: $work/$1.log)"; fi
  [ "$result" = ok ]
}

make_root() {
  debootstrap --variant=minbase "$suite" "$root" "$mirror"
  # A network behind a proxy of its own may need certificates that this machine has.
  cp -r /usr/local/share/ca-certificates "$root/usr/local/share/" 2>/dev/null || true
  cp /etc/resolv.conf "$root/etc/"
  cp /etc/hosts "$root/etc/"
  cp -a "$root" "$work/bare"
}

clone() {
  git clone -q --no-local "$source" "$root/root/tovamill"
  # What the README says must be there first.
  inside "$root" <<'INSIDE'
apt-get update -qq
apt-get install -y -qq --no-install-recommends git ca-certificates
useradd --create-home somebody
INSIDE
}

quickstart() {
  inside "$root" <<'INSIDE'
cd /root/tovamill
jobs/quickstart.sh --yes </dev/null
test -s build/quickstart/run/results.h5
INSIDE
}

tests() {
  inside "$root" <<'INSIDE'
cd /root/tovamill
jobs/test.sh </dev/null
INSIDE
}

# Runs tests/support/programs/try_installed.sh as somebody: in the second root from a copy, for there is no clone.
install_and_remove() {
  inside "$root" <<'INSIDE'
cd /root/tovamill
jobs/install_dependencies.sh
cmake --preset default -DCMAKE_INSTALL_PREFIX=/usr/local
cmake --build --preset default -j "$(nproc)"
cmake --install build
cp tests/support/programs/try_installed.sh /home/somebody/
su - somebody -c 'mkdir tries && cd tries && bash ../try_installed.sh /usr/local'
cmake --build build --target uninstall
if find /usr/local -name '*tovamill*' | grep .; then echo "is left behind after uninstalling"; exit 1; fi
INSIDE
}

package() {
  inside "$root" <<'INSIDE' || return 1
cd /root/tovamill
jobs/container/build_package.sh "$PWD" /root/package
INSIDE
  cp -a "$work/bare" "$work/user" || return 1
  cp "$root"/root/package/*.deb "$source/tests/support/programs/try_installed.sh" "$work/user/root/" || return 1
  inside "$work/user" <<'INSIDE'
apt-get update -qq
apt-get install -y -qq --no-install-recommends /root/*.deb
if command -v g++; then echo "comes with the package"; exit 1; fi
useradd --create-home somebody
cp /root/try_installed.sh /home/somebody/
su - somebody -c 'mkdir tries && cd tries && bash ../try_installed.sh /usr'
apt-get purge -y -qq tovamill
if find /usr /etc -name '*tovamill*' | grep .; then echo "is left behind after the purge"; exit 1; fi
INSIDE
}

# In a third root: only what a cluster has anyway, and none of the libraries' packages.
custom() {
  cp -a "$work/bare" "$work/cluster" || return 1
  git clone -q --no-local "$source" "$work/cluster/srv/tovamill" || return 1
  inside "$work/cluster" <<'INSIDE'
sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/sources.list
apt-get update -qq
apt-get install -y -qq --no-install-recommends g++ cmake make pkg-config git ca-certificates bzip2 xz-utils dpkg-dev \
  python3-pip python3-venv libonig-dev libutf8proc-dev libsimdjson-dev nlohmann-json3-dev zlib1g-dev libzstd-dev liblzma-dev libbz2-dev
if dpkg-query -W libhdf5-dev libboost-program-options-dev libdnnl-dev libopenmpi-dev 2>/dev/null; then exit 1; fi
update-ca-certificates
useradd --create-home somebody
su - somebody -c '/srv/tovamill/tests/prefixes.sh'
INSIDE
}

step root "a root of Debian $suite" make_root || exit 1
step clone "git clone, as the README begins" clone || exit 1
for name in "${steps[@]}"; do
  case "$name" in
    quickstart) step quickstart "jobs/quickstart.sh: to a table of results" quickstart ;;
    tests) step tests "jobs/test.sh: every test" tests ;;
    install) step install "cmake --install, run by another user, uninstalled" install_and_remove ;;
    package) step package "the Debian package, in a root without a compiler" package ;;
    custom) step custom "every library in a prefix of its own, without root" custom ;;
  esac
done
if [ "$failed" -eq 0 ]; then echo "all steps passed on Debian $suite"; fi
exit "$failed"
