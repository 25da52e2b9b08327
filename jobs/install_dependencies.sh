#!/usr/bin/env bash
# Installs by apt what is missing of the packages that building needs; "tests" as an argument adds what the tests need,
# "slurm" what tests/slurm.sh needs, "model" what fetching a small model needs. Installs nothing, and needs no network, where nothing is missing.
# Made for Debian 12 and Ubuntu 24.04 (with universe).
set -euo pipefail

packages=(g++ cmake make pkg-config git ca-certificates
          libdnnl-dev libhdf5-dev libboost-program-options-dev libpcre2-dev libutf8proc-dev
          libsimdjson-dev nlohmann-json3-dev zlib1g-dev libzstd-dev libopenmpi-dev openmpi-bin)
for part in "$@"; do
  case "$part" in
    tests) packages+=(libgtest-dev libboost-context-dev python3 python3-numpy python3-h5py hdf5-tools) ;;
    slurm) packages+=(slurm-wlm munge slurm-client) ;;
    model) packages+=(python3 python3-pip) ;;
    *) echo "usage: $0 [tests] [slurm] [model]" >&2; exit 64 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "This is not a Debian or Ubuntu system. What is needed, by Debian's names: ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in $(printf '%s\n' "${packages[@]}" | sort -u); do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || echo missing)
  [ "$status" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "Packages are missing. As root, run: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi

install_missing() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

echo "Installing ${missing[*]}"
# The package lists may be absent or old: then the first attempt fails, and a fresh list helps.
if ! install_missing >/dev/null 2>&1; then
  "${as_root[@]}" apt-get update -qq
  if ! install_missing >/dev/null; then
    echo "apt could not install the packages above. On Ubuntu they need universe: sudo add-apt-repository universe" >&2
    exit 1
  fi
fi
