#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Can be run again at once, from any folder.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=jobs/quickstart/common.sh
. "$root/jobs/quickstart/common.sh"

manual() {
  cat <<'MANUAL'
Usage: jobs/test.sh [options]
Installs the packages that building and testing lack, builds, and runs all tests.

  --yes         do not ask before packages are installed
  --no-install  install nothing, build and test with what is there
  -h, --help    this text

Exit codes: 0 all tests passed; 64 wrong command line; 69 something is missing and cannot be had; 73 build/ cannot be
written; 74 the disk is full; else ctest's.
MANUAL
}

yes=() install=yes
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) manual; exit 0 ;;
    --yes) yes=(--yes) ;;
    --no-install) install=no ;;
    *) refuse "unknown argument '$1'" ;;
  esac
  shift
done

logs="$root/build/logs"
for folder in "$root/build" "$logs"; do make_folder "$folder"; done
if [ "$install" = yes ]; then
  "$root/jobs/install_dependencies.sh" tests --log "$logs/install.log" "${yes[@]}"
  # Where there is no Slurm, or nobody who may start its daemons, the test of it skips itself.
  if [ "$(id -u)" -eq 0 ]; then
    "$root/jobs/install_dependencies.sh" slurm --only --log "$logs/install_slurm.log" "${yes[@]}" || true
  fi
fi
# A user's compiler may warn of what ours do not.
as_errors=()
[ "${CI:-}" != true ] || as_errors=(-DCMAKE_COMPILE_WARNING_AS_ERROR=ON)
configure "$logs/configure.log" "${as_errors[@]}" || fail_of_cmake "$logs/configure.log"
build "$logs/build.log"
cd "$root"
# The interpreter that comes first may be one without h5py; the system's has it now.
python3 -c 'import h5py' 2>/dev/null || export PATH="/usr/bin:$PATH"
# More than there are cores: many tests mostly wait.
ctest --preset default -j $((3 * $(nproc) + 1))
