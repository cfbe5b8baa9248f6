#!/usr/bin/env bash
# Tries ./demo and ./test on a bare Debian 12: a minimal system with git, made by debootstrap in a
# scratch folder, into which the committed state of this checkout is cloned.
#
#   scripts/check-fresh.sh [FOLDER]     FOLDER (default: a new one under TMPDIR) needs 2 GB
#
# Needs root, debootstrap and this machine's package sources. Mounts live in a mount namespace of
# their own, so none outlives the script; FOLDER stays for a second look.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
source scripts/common.sh

[[ $(id -u) == 0 ]] || die "check-fresh.sh needs root: debootstrap and chroot do."
command -v debootstrap >/dev/null || die "check-fresh.sh needs the package debootstrap."

folder=${1:-$(mktemp -d "${TMPDIR:-/tmp}/gguf-shard-fresh.XXXXXX")}
root=$folder/root

# A minimal system with this machine's package sources.
make_system() {
  [[ -d $root/usr ]] && die "$root exists already: a used system proves nothing."
  mkdir -p "$folder"
  quietly "$folder/debootstrap.log" \
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root"
  rm -f "$root/etc/apt/sources.list"
  cp -r /etc/apt/sources.list* /etc/apt/apt.conf.d "$root/etc/apt/"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  chroot "$root" useradd --create-home guest
}

# inside USER COMMAND: runs a shell command in the clone.
inside() {
  # shellcheck disable=SC2016  # the inner shell expands these
  unshare --mount bash -c '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec chroot --userspec="$2" "$1" /usr/bin/env -i HOME=/tmp TERM=dumb LANG=C.UTF-8 \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      bash -c "cd /src/gguf-shard && $3"' - "$root" "$1" "$2"
}

timed() {
  local start=$SECONDS
  "${@:2}" || die "$1 failed."
  say "== $1: $((SECONDS - start)) s"
}

make_system
git clone -q . "$root/src/gguf-shard"
say "== a bare Debian in $root"
if inside guest ./demo >"$folder/guest.log" 2>&1; then
  die "./demo cannot have worked: guest is not root, and the packages are missing."
fi
grep -q 'packages are missing' "$folder/guest.log" || die "./demo did not say what it lacks."
say "== ./demo as a guest says what it lacks:"
cat "$folder/guest.log"
timed "./demo" inside root ./demo
timed "./demo again" inside root ./demo
timed "./test" inside root ./test
timed "./test again" inside root ./test
