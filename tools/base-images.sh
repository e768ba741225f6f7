#!/bin/bash
# Builds small local images from Debian packages, without an image registry.
#
#   oscar-bridge/busybox:local     one static busybox: no dynamic loader, no libc, no Python
#   oscar-bridge/musl:local        the same busybox, plus musl's loader and C library in the places
#                                  where a musl distribution has them. It is not Alpine: nothing in
#                                  it is linked against musl but musl itself.
#   oscar-bridge/entrypoint:local  busybox with an ENTRYPOINT that refuses to run what it is given,
#                                  and a user who is not root
#   oscar-bridge/python:local      a minimal Debian with python3
#
# Usage: tools/base-images.sh [busybox|musl|entrypoint|python]...      (default: all of them)
#   FORCE=1   build even what exists
#   SUITE     Debian release (default: this machine's), MIRROR its archive (default: apt's)
#
# Needs root, the docker command with an engine that answers, and on Debian apt; `python` also
# needs debootstrap. Nothing is installed on this machine. Exit status 3: a tool is missing.
set -euo pipefail

readonly PREFIX=oscar-bridge

say() { printf '%s\n' "$*"; }
missing() {
  printf 'base-images: %s\n' "$*" >&2
  exit 3
}

need_tools() {
  [ "$(id -u)" = 0 ] || missing "run it as root: image layers need root's ownership"
  command -v apt-get >/dev/null || missing "apt-get is absent: this script needs Debian or Ubuntu"
  command -v docker >/dev/null || missing "docker is absent: apt-get install docker.io"
  docker version >/dev/null 2>&1 ||
    missing "no Docker engine answers: start one (systemctl start docker, or dockerd &)"
}

exists() { [ -z "${FORCE:-}" ] && docker image inspect "$PREFIX/$1:local" >/dev/null 2>&1; }

# package -> its files below $work/<package>, unpacked and not installed
fetch() {
  local package=$1 into=$work/deb/$1
  [ -d "$into" ] && return
  mkdir -p "$into"
  chmod 755 "$work" "$work/deb" "$into"
  (cd "$into" && { apt-get download -q "$package" || { apt-get update -q && apt-get download -q "$package"; }; }) \
    >"$work/apt.log" 2>&1 || { cat "$work/apt.log" >&2; return 1; }
  dpkg-deb -x "$into"/*.deb "$into/files"
}

# folder, name, docker's --change options
import() {
  local folder=$1 name=$2 id bytes
  shift 2
  id=$(tar --numeric-owner --owner=0 --group=0 --sort=name -C "$folder" -c . | docker import "$@" - "$PREFIX/$name:local")
  bytes=$(docker image inspect -f '{{.Size}}' "$id")
  say "made    $PREFIX/$name:local  $((bytes / 1000000)).$((bytes / 100000 % 10)) MB"
}

busybox_tree() {
  local tree=$1 busybox applet
  fetch busybox-static
  busybox=$(find "$work/deb/busybox-static/files" -type f -path "*/bin/busybox")
  mkdir -p "$tree"/{bin,dev,etc,home/user,lib,proc,root,sys,tmp,usr,var}
  install -m 755 "$busybox" "$tree/bin/busybox"
  for applet in $("$busybox" --list); do
    [ -e "$tree/bin/$applet" ] || ln -s busybox "$tree/bin/$applet"
  done
  ln -s ../bin "$tree/usr/bin"
  chmod 1777 "$tree/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nuser:x:1000:\n' >"$tree/etc/group"
}

make_busybox() {
  busybox_tree "$work/busybox"
  import "$work/busybox" busybox -c 'ENV PATH=/bin' -c 'CMD ["sh"]'
}

make_musl() {
  busybox_tree "$work/musl"
  fetch musl
  cp -a "$work/deb/musl/files/lib/." "$work/musl/lib/"
  import "$work/musl" musl -c 'ENV PATH=/bin' -c 'CMD ["sh"]'
}

make_entrypoint() {
  busybox_tree "$work/entrypoint"
  printf '#!/bin/sh\necho "this ENTRYPOINT runs nothing else" >&2\nexit 64\n' >"$work/entrypoint/bin/entry"
  chmod 755 "$work/entrypoint/bin/entry"
  import "$work/entrypoint" entrypoint -c 'ENV PATH=/bin' -c 'ENTRYPOINT ["/bin/entry"]' -c 'USER 1000:1000'
}

archive() {
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$1" '$1 == suite {print $2; exit}'
}

make_python() {
  local tree=$work/python suite mirror
  command -v debootstrap >/dev/null || missing "debootstrap is absent: apt-get install debootstrap"
  suite=${SUITE:-$(. /etc/os-release && printf %s "$VERSION_CODENAME")}
  mirror=${MIRROR:-$(archive "$suite")}
  debootstrap --variant=minbase --include=python3-minimal,libpython3-stdlib,python3 \
    "$suite" "$tree" ${mirror:+"$mirror"} >"$work/debootstrap.log" 2>&1 ||
    { tail -n 20 "$work/debootstrap.log" >&2; return 1; }
  rm -rf "$tree"/{var/cache/apt,var/lib/apt/lists,var/log,usr/share/doc,usr/share/man,usr/share/info} \
    "$tree"/usr/share/{locale,lintian,zoneinfo/right} "${tree:?}"/dev
  mkdir -p "$tree"/{dev,var/log,var/cache/apt/archives/partial,var/lib/apt/lists/partial}
  ln -sf python3 "$tree/usr/bin/python"
  import "$tree" python -c 'ENV LANG=C.UTF-8' -c 'CMD ["python3"]'
}

clean() {
  local point
  for point in "$work"/python/proc "$work"/python/sys; do # debootstrap may leave them mounted
    if mountpoint -q "$point"; then umount "$point" || return; fi
  done
  rm -rf --one-file-system "$work"
}

[ $# -gt 0 ] || set -- busybox musl entrypoint python
for name; do
  case $name in
    busybox | musl | entrypoint | python) ;;
    *) say "base-images: no image is called '$name'" >&2; exit 2 ;;
  esac
done
need_tools
work=$(mktemp -d)
trap clean EXIT
for name; do
  if exists "$name"; then say "present $PREFIX/$name:local"; else "make_$name"; fi
done
