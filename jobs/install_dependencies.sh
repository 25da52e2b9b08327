#!/usr/bin/env bash
# Installs what is missing of the packages that building needs. Installs nothing, and needs no network, where nothing is
# missing. Made for apt on Debian 12, Debian 13 and Ubuntu 24.04 (with universe). The names for dnf are untried.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=jobs/quickstart/common.sh
. "$root/jobs/quickstart/common.sh"

manual() {
  cat <<'MANUAL'
Usage: jobs/install_dependencies.sh [PART...] [options]
Installs what is missing of the packages that building needs. Says what before, and asks at a terminal.

  tests   adds what the tests need
  check   adds what jobs/check.sh needs
  slurm   adds what tests/slurm.sh needs
  model   adds what fetching the quickstart's model needs
  report  adds what tovamill report draws with
  package adds what making a Debian package needs (cpack -G DEB)

  --only      the parts named, without the packages that building needs
  --yes       do not ask
  --print     say what would be installed, install nothing
  --log FILE  where the output of apt or dnf goes (a temporary file, kept where it failed)
  -h, --help  this text

apt installs on Debian 12, Debian 13 and Ubuntu 24.04 (with universe), as root or by sudo. On Rocky and RHEL 9 the
command for dnf is printed, and run by root with --yes: untried. Elsewhere the names are printed.

Exit codes: 0 nothing is missing any more, or this system's packages are not known; 64 wrong command line; 69 packages
cannot be had; 74 the disk is full.
MANUAL
}

only=no yes=no print=no log='' parts=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    --only) only=yes ;;
    --yes) yes=yes ;;
    --print) print=yes ;;
    --log) [ $# -ge 2 ] || refuse "--log needs a file"; log=$2; shift ;;
    tests | check | slurm | model | report | package) parts+=("$1") ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done
[ "$only" = yes ] || parts=(build "${parts[@]}")

system=$(sed -n 's/^ID=//p' "${OS_RELEASE:-/etc/os-release}" 2>/dev/null | tr -d '"' || true)
packages=() upstream=()
for part in "${parts[@]}"; do
  case "$part" in
    build)
      packages+=(g++ cmake make pkg-config git ca-certificates
                 libdnnl-dev libhdf5-dev libboost-program-options-dev libonig-dev libutf8proc-dev
                 libsimdjson-dev nlohmann-json3-dev zlib1g-dev libzstd-dev liblzma-dev libbz2-dev
                 libopenmpi-dev openmpi-bin)
      upstream+=("GCC 12 or later" "CMake 3.25 or later" make pkg-config git oneDNN HDF5 "Boost.Program_options" Oniguruma utf8proc
                 simdjson nlohmann/json zlib zstd liblzma bzip2 "Open MPI") ;;
    tests)
      packages+=(libgtest-dev libboost-context-dev python3 python3-numpy python3-h5py python3-pandas
                 python3-xarray python3-h5netcdf hdf5-tools gnuplot-nox)
      upstream+=(GoogleTest "Boost.Context" Python NumPy h5py pandas xarray h5netcdf "the tools of HDF5" gnuplot)
      if [ "$system" = debian ]; then packages+=(chromium); fi ;;  # elsewhere it is no package, and a test less
    check)
      packages+=(shellcheck python3-venv)
      if [ "$(sed -n 's/^VERSION_ID=//p' "${OS_RELEASE:-/etc/os-release}" 2>/dev/null | tr -d '"')" = 12 ]; then
        packages+=(clang-format clang-tidy)  # version 14; elsewhere they come from PyPI
        packages+=(clang-19 libclang-rt-19-dev libomp-19-dev)
      else
        packages+=(clang libomp-dev)
      fi
      upstream+=(shellcheck "clang-format 14" "clang-tidy 14" "Clang 16 or later with its sanitizers and libomp") ;;
    slurm)
      packages+=(slurm-wlm munge slurm-client)
      upstream+=(Slurm MUNGE) ;;
    report)
      packages+=(gnuplot-nox)
      upstream+=(gnuplot) ;;
    package)
      packages+=(dpkg-dev file)
      upstream+=(dpkg-shlibdeps file) ;;
    model)
      packages+=(python3 python3-pip)
      upstream+=(Python pip) ;;
  esac
done
mapfile -t packages < <(printf '%s\n' "${packages[@]}" | sort -u)

# The names of Rocky and RHEL 9 with EPEL and CRB, after Fedora's.
declare -A rpm_names=(
  [g++]=gcc-toolset-13-gcc-c++ [pkg-config]=pkgconf-pkg-config [libdnnl-dev]=onednn-devel [libhdf5-dev]=hdf5-devel
  [libboost-program-options-dev]=boost-devel [libonig-dev]=oniguruma-devel [libutf8proc-dev]=utf8proc-devel
  [libsimdjson-dev]=simdjson-devel [nlohmann-json3-dev]=json-devel [zlib1g-dev]=zlib-devel [libzstd-dev]=libzstd-devel [liblzma-dev]=xz-devel
  [libbz2-dev]=bzip2-devel
  [libopenmpi-dev]=openmpi-devel [openmpi-bin]=openmpi [libgtest-dev]=gtest-devel [libboost-context-dev]=boost-devel
  [hdf5-tools]=hdf5 [gnuplot-nox]=gnuplot [slurm-wlm]="slurm-slurmctld slurm-slurmd" [slurm-client]=slurm)

# Sets `missing`.
find_missing_by_dpkg() {
  local status package
  missing=()
  for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || echo missing)
    [ "$status" = installed ] || missing+=("$package")
  done
}
find_missing_by_rpm() {
  local package name
  missing=()
  for package in "${packages[@]}"; do
    for name in ${rpm_names[$package]:-$package}; do
      rpm -q --whatprovides "$name" >/dev/null 2>&1 || missing+=("$name")
    done
  done
  mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u | sed '/^$/d')
}

# Sets `as_root`: nothing, or sudo, which asks for a password at a terminal only.
find_root() {
  as_root=()
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null || return 1
  as_root=(sudo)
  [ -t 0 ] || as_root+=(-n)
}

# "84.1 MB to download, 402 MB on disk", where apt's lists are there to tell.
sizes_by_apt() {
  LC_ALL=C apt-get install --assume-no --no-install-recommends -o Debug::NoLocking=1 "${missing[@]}" 2>/dev/null </dev/null |
    sed -nE 's/^Need to get ([0-9.,]+ [kMG]?B).*/\1 to download/p
             s/^Need to get [^ ]+ [kMG]?B\/([0-9.,]+ [kMG]?B).*/\1 to download/p
             s/^After this operation, ([0-9.,]+ [kMG]?B) of additional.*/\1 on disk/p' | paste -sd , | sed 's/,\([0-9]* *[0-9.]*\)/, \1/' || true
}

last_step() { printf '  ... %d s: %s\n' "$SECONDS" "$(tail -n 1 "$log" | cut -c 1-90)"; }

apt_as_root() {
  echo "+ apt-get $*" >>"$log"
  "${as_root[@]}" env LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=120 -o APT::Update::Error-Mode=any "$@" </dev/null >>"$log" 2>&1
}

# The files in it are as old as on the server; the folder tells when they were fetched.
lists_are_fresh() {
  local lists=/var/lib/apt/lists
  compgen -G "$lists/*_Packages*" >/dev/null && [ -n "$(find "$lists" -maxdepth 0 -mtime -1)" ]
}

# A failure to renew the lists matters only where no server answered at all: some other repository may be gone.
install_by_apt() {
  if ! lists_are_fresh && ! apt_as_root update && ! grep -qE '^(Hit|Get|Ign):' "$log"; then return 1; fi
  apt_as_root install -y --no-install-recommends "${missing[@]}" && return 0
  lists_are_fresh || return 1
  # The lists may be older than what the servers hold: fresh ones help.
  grep -qE 'Unable to locate|404 +Not Found|no installation candidate' "$log" && apt_as_root update &&
    apt_as_root install -y --no-install-recommends "${missing[@]}"
}

by_apt() {
  local command sizes reason lines
  find_missing_by_dpkg
  [ "${#missing[@]}" -gt 0 ] || return 0
  command="apt-get install --no-install-recommends ${missing[*]}"
  sizes=$(sizes_by_apt)
  if [ "$print" = yes ]; then
    echo "Missing, ${sizes:-sizes unknown before apt-get update}. As root: apt-get update; $command"
    return 0
  fi
  find_root || fail 69 "packages are missing, and neither are you root nor is there sudo. As root:" "$command" \
    "Then start again. Where their libraries are in other prefixes: --no-install"
  echo "Packages to install, ${#missing[@]} and what they need (${sizes:-sizes unknown before apt-get update}):"
  echo "  ${as_root[*]}${as_root:+ }$command"
  confirm "Install them?" "$yes" ||
    fail 69 "nothing was installed. To build with what is there: --no-install"
  with_progress 10 last_step install_by_apt && return 0
  reason=$(reason_in "$log")
  lines=("By hand, as root: apt-get update; $command")
  case "$reason" in
    unknown*)
      if [ "$system" = ubuntu ]; then
        lines+=("They are in universe: sudo add-apt-repository universe")
      else
        lines+=("They are in Debian 12 and later; /etc/apt/sources.list must name main.")
      fi ;;
  esac
  fail "$(code_of "$reason")" "apt cannot install the packages: $reason (log: $(short "$log"))" "${lines[@]}" "Then start again."
}

install_by_dnf() {
  {
    dnf install -y epel-release
    dnf config-manager --set-enabled crb
    dnf install -y "${missing[@]}"
  } >>"$log" 2>&1
}

by_dnf() {
  local command reason
  find_missing_by_rpm
  [ "${#missing[@]}" -gt 0 ] || return 0
  command="dnf install -y epel-release && dnf config-manager --set-enabled crb && dnf install -y ${missing[*]}"
  echo "Packages are missing. For Rocky and RHEL 9, untried, as root:"
  echo "  $command"
  echo "  source /opt/rh/gcc-toolset-13/enable && module load mpi/openmpi-x86_64    # in every shell that builds or runs"
  [ "$print" = no ] || return 0
  if [ "$yes" = no ] || [ "$(id -u)" -ne 0 ]; then
    fail 69 "packages are missing. Run the above, or this script as root with --yes; to build with what is there: --no-install"
  fi
  with_progress 10 last_step install_by_dnf && return 0
  reason=$(reason_in "$log")
  fail "$(code_of "$reason")" "dnf cannot install the packages: $reason (log: $(short "$log"))"
}

by_hand() {
  echo "This system has neither apt nor dnf: packages are installed by hand."
  echo "  needed:             $(printf '%s, ' "${upstream[@]}" | sed 's/, $//')"
  echo "  by Debian's names:  ${packages[*]}"
} >&2

temporary=''
if [ -z "$log" ]; then
  log=$(mktemp -t tovamill-install.XXXXXX)
  temporary=$log
fi
: >"$log"
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  by_apt
elif command -v rpm >/dev/null && command -v dnf >/dev/null; then
  by_dnf
else
  by_hand
fi
[ -z "$temporary" ] || rm -f "$temporary"
