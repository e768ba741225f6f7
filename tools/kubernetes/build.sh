#!/bin/bash
# Builds a Kubernetes for tests from Debian's source package, without an image registry, and prints
# the folder that holds it on standard output: etcd, kube-apiserver, kube-controller-manager,
# kube-scheduler, kubelet, kube-proxy, kubectl (one program under many names), and pause.
#
# Usage: tools/kubernetes/build.sh [CACHE]
#   CACHE   default: ${XDG_CACHE_HOME:-~/.cache}/oscar-bridge/kubernetes
#
# Once per machine: what is in CACHE was built from these very scripts, or it is built anew. It takes
# four minutes of two cores, 2 GB of memory and 3 GB of disk; 130 MB stay. Go and the sources are
# unpacked and not installed. Needs apt, dpkg-dev, xz-utils and the keys of Debian's archive, on
# amd64 or arm64; no root. Exit status 3: a tool is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
# The last Debian release with the whole of Kubernetes, and the Go that can build it.
readonly SUITE=bookworm GO=1.19 KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
readonly COMPONENTS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)

say() { printf 'kubernetes: %s\n' "$*" >&2; }
missing() {
  say "$*"
  exit 3
}

need_tools() {
  command -v apt-get >/dev/null || missing "apt-get is absent: this script needs Debian or Ubuntu"
  command -v dpkg-source >/dev/null || missing "dpkg-source is absent: apt-get install dpkg-dev"
  command -v xz >/dev/null || missing "xz is absent: apt-get install xz-utils"
  [ -r "$KEYS" ] || missing "Debian's keys are absent: apt-get install debian-archive-keyring"
}

archive() {
  apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$SUITE" '$1 == suite && !found {found = $2} END {print found ? found : "http://deb.debian.org/debian"}'
}

# An apt of our own: this machine's lists and sources stay as they are.
private_apt() {
  mkdir -p "$work"/apt/{sources,lists/partial,archives/partial} "$work/packages"
  printf 'Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "$(archive)" "$SUITE" "$KEYS" >"$work/apt/sources/debian.sources"
  apt=(apt-get -q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$work/apt/sources"
    -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache::Archives=$work/apt/archives"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o "APT::Sandbox::User=$(id -un)")
}

fetch() {
  private_apt
  "${apt[@]}" update
  cd "$work/packages"
  "${apt[@]}" source --download-only kubernetes
  "${apt[@]}" download etcd-server "golang-$GO-go" "golang-$GO-src" golang-github-modern-go-reflect2-dev
  local package
  for package in *.deb; do dpkg-deb -x "$package" "$work/root"; done
  # apt has checked what it downloaded.
  dpkg-source --no-check -x kubernetes_*.dsc "$tree"
}

# file, what must be there, what stands there instead
replace() {
  grep -qF -- "$2" "$tree/$1" || { say "$1 has no '$2' any more: the patches are for another version"; return 1; }
  sed -i "s|$2|$3|" "$tree/$1"
}

patch_source() {
  # Since Go 1.18 the reflect2 that comes along reads through a wrong pointer.
  local reflect2=github.com/modern-go/reflect2
  rm -rf "${tree:?}/vendor/$reflect2"
  cp -r "$work/root/usr/share/gocode/src/$reflect2" "$tree/vendor/$reflect2"
  # A score below 0 needs a capability that sandboxes and machines of CI often withhold.
  replace pkg/kubelet/qos/policy.go 'return guaranteedOOMScoreAdj' 'return 0'
  replace pkg/kubelet/dockershim/docker_sandbox.go 'defaultSandboxOOMAdj int = -998' 'defaultSandboxOOMAdj int = 0'
  # It would ask Amazon's metadata service for credentials at each start.
  replace cmd/kubelet/app/plugins.go '_ "k8s.io/kubernetes/pkg/credentialprovider/aws"' ''
  mkdir "$tree/cmd/all"
  cp "$here/main.go" "$tree/cmd/all/main.go"
}

# The one generated file that the package leaves out: the schemas of all types.
generate_schemas() {
  local folders
  folders=$(grep -rl --include='*.go' '+k8s:openapi-gen=' cmd pkg staging/src/k8s.io |
    grep -Ev '_test\.go$|/zz_generated|/testdata/|/code-generator/|/sample-apiserver/' |
    xargs -n 1 dirname | sed 's|^staging/src/|vendor/|; s|^|k8s.io/kubernetes/|' | sort -u | paste -sd ,)
  go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  "$work/openapi-gen" --input-dirs "$folders" --output-package k8s.io/kubernetes/pkg/generated/openapi \
    --output-file-base zz_generated.openapi --report-filename "$work/violations" \
    --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt
}

compile() {
  local flags="-s -w" package version=k8s.io/kubernetes/vendor/k8s.io
  local number
  number=$(dpkg-parsechangelog -l "$tree/debian/changelog" -S Version | sed 's/.*really//; s/-.*//')
  for package in client-go/pkg component-base; do
    flags+=" -X $version/$package/version.gitVersion=v$number"
    flags+=" -X $version/$package/version.gitMajor=${number%%.*}"
    flags+=" -X $version/$package/version.gitMinor=$(cut -d. -f2 <<<"$number")"
  done
  cd "$tree"
  generate_schemas
  # Without the SDKs of the clouds.
  go build -trimpath -tags providerless -ldflags "$flags" -o "$work/bin/kubernetes" ./cmd/all
  go build -trimpath -ldflags "-s -w" -o "$work/bin/pause" "$here/pause.go"
}

finish() {
  local status=$?
  [ $status = 0 ] || tail -n 20 "$work/log" >&2
  chmod -R u+w "$work"
  rm -rf "$work"
  exit $status
}

build() {
  work=$(mktemp -d "$cache/building.XXXXXX")
  trap finish EXIT
  tree=$work/go/src/k8s.io/kubernetes
  mkdir -p "$work/bin" "$work/go/src/k8s.io"
  say "fetching the sources"
  fetch >"$work/log" 2>&1
  patch_source
  say "compiling: this takes some minutes"
  export GOROOT=$work/root/usr/lib/go-$GO GOPATH=$work/go GOCACHE=$work/cache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=''
  PATH=$GOROOT/bin:$PATH compile >"$work/log" 2>&1
  install -m 755 "$work/root/usr/bin/etcd" "$work/bin/etcd"
  local name
  for name in "${COMPONENTS[@]}"; do ln -s kubernetes "$work/bin/$name"; done
  "$work/bin/kube-apiserver" --version >&2
  # Only what is whole gets the name; what older scripts have built is of no use any more.
  find "$cache" -mindepth 1 -maxdepth 1 -name 'bin-*' -exec rm -rf {} +
  mv "$work/bin" "$ready"
}

cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/oscar-bridge/kubernetes}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
ready=$cache/bin-$(cat "$here/build.sh" "$here"/*.go | sha256sum | cut -c1-16)
exec 9>"$cache/lock"
flock 9 # a second build waits for the first and finds its work done
if [ ! -d "$ready" ]; then
  need_tools
  (build)
fi
printf '%s\n' "$ready"
