#!/usr/bin/env bash
# Builds the kernels and their tests for 64-bit ARM and runs them under qemu-user, on an x86-64 Debian 12.
#
#   scripts/test-arm64.sh [GTEST_FILTER]
#
# Installs the cross compiler and qemu-user when they are missing. The libraries for ARM are unpacked into
# build/arm64-libraries and never installed: this machine's package system is not told of another
# architecture. Emulated, so slow; speed has to be measured on a real processor.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

TOOLS=(g++-aarch64-linux-gnu qemu-user)
LIBRARIES=(
  libgtest-dev libgmock-dev libfmt-dev libfmt9 libssl-dev libssl3 libisal-dev libisal2 libxxhash-dev libxxhash0
  libpcre2-dev libpcre2-8-0 libzstd-dev libzstd1 liburing-dev liburing2 zlib1g-dev zlib1g libvulkan-dev
  libvulkan-volk-dev nlohmann-json3-dev libcli11-dev libexpected-dev libcpp-httplib-dev libcpp-httplib0.11
  libbrotli-dev libbrotli1
)
libraries=$PWD/build/arm64-libraries

# A package cache of its own, for another architecture.
arm64_apt() {
  apt-get -q -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::status="$libraries.apt/status" \
    -o Dir::State::Lists="$libraries.apt/lists" -o Dir::Cache="$libraries.apt/cache" -o APT::Sandbox::User= "$@"
}

unpack_libraries() {
  [[ ! -e $libraries/complete ]] || return 0
  mkdir -p "$libraries.apt"/{lists/partial,cache/archives/partial,debs}
  : >"$libraries.apt/status"
  arm64_apt update
  (cd "$libraries.apt/debs" && arm64_apt download "${LIBRARIES[@]}")
  local package
  for package in "$libraries.apt"/debs/*.deb; do
    dpkg-deb -x "$package" "$libraries"
  done
  touch "$libraries/complete"
}

ensure_packages "${TOOLS[@]}"
quietly build/arm64-libraries.log unpack_libraries || die "The libraries for ARM could not be fetched."
[[ -f build/arm64/build.ninja ]] ||
  quietly build/arm64-configure.log cmake -S . -B build/arm64 -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_TOOLCHAIN_FILE=cmake/arm64.cmake -DGS_ARM64_LIBRARIES="$libraries"
quietly build/arm64-build.log cmake --build build/arm64 --target kernels_test
qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH="$libraries/usr/lib/aarch64-linux-gnu" \
  build/arm64/tests/kernels_test --gtest_brief=1 --gtest_filter="${1:--*avx*:*amx*}"
