#!/usr/bin/env bash
# Installs what is missing, builds, and runs all tests. Can be run again at once, from any directory.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
jobs=$(nproc)

"$root/jobs/install_dependencies.sh" tests
# Where there is no Slurm, or nobody who may start its daemons, the test of it skips itself.
if [ "$(id -u)" -eq 0 ]; then "$root/jobs/install_dependencies.sh" slurm || true; fi
cd "$root"
cmake --preset default
cmake --build --preset default -j "$jobs"
# The interpreter that comes first may be one without h5py; the system's has it now.
python3 -c 'import h5py' 2>/dev/null || export PATH="/usr/bin:$PATH"
# More than there are cores: many tests mostly wait.
ctest --preset default -j $((3 * jobs + 1))
