# shellcheck shell=bash
# The Debian packages the project needs, and their installation. Sourced by scripts/common.sh.
# docs/DEPENDENCIES.md says what each one is for; a test compares the two lists.

# shellcheck disable=SC2034  # used by the scripts that source this file
PACKAGES=(
  # tools
  g++ cmake ninja-build pkg-config python3 glslc
  # libraries
  libfmt-dev nlohmann-json3-dev libssl-dev libcli11-dev libexpected-dev
  libisal-dev libxxhash-dev libpcre2-dev libzstd-dev liburing-dev
  libvulkan-dev libvulkan-volk-dev libcpp-httplib-dev
  # tests
  libgtest-dev libgmock-dev zlib1g-dev python3-jsonschema
  mesa-vulkan-drivers vulkan-validationlayers spirv-tools
)

# Prints those of its arguments that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
      printf '%s\n' "$package"
  done
}

# Whether as_root can work: root, or sudo without a password or with somebody to type it.
can_be_root() {
  [[ $(id -u) == 0 ]] && return
  command -v sudo >/dev/null && { [[ -t 0 ]] || sudo -n true 2>/dev/null; }
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

# Installs what is missing of its arguments, and nothing else; ends with a clear word otherwise.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is no Debian system: packages are left alone. Needed (Debian names): $*"
    return
  fi
  local missing log
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0

  local by_hand="apt-get install ${missing[*]}"
  can_be_root ||
    die "These packages are missing: ${missing[*]}" \
      "Installing them needs root or sudo. As root: $by_hand"
  say "Installing ${#missing[@]} packages: ${missing[*]}"
  log=$(mktemp)
  if ! install_with_apt "${missing[@]}" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install: $(missing_packages "$@" | tr '\n' ' ')" \
      "Check the network and the package sources, then, as root: $by_hand"
  fi
  rm -f "$log"
}

# An update that fails is no reason to give up yet.
install_with_apt() {
  as_root apt-get -q update || true
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends install "$@"
}
