#!/usr/bin/env bash
# build_package.sh SOURCE FOLDER: as root on a bare Debian or Ubuntu, installs what building needs, builds the program
# and puts its Debian package into FOLDER. What images are made with.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: $0 SOURCE FOLDER" >&2; exit 64; }
source=$1 folder=$2
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

apt-get update -qq
"$source/jobs/install_dependencies.sh" package
cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DCMAKE_INSTALL_PREFIX=/usr \
  -DTOVAMILL_TESTS=OFF -DTOVAMILL_BENCHMARKS=OFF
cmake --build "$build" -j "$(nproc)"
mkdir -p "$folder"
cpack --config "$build/CPackConfig.cmake" -G DEB -B "$folder"
rm -rf "$folder/_CPack_Packages"
