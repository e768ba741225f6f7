# shellcheck shell=bash
# What up and down share.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
state=${XDG_STATE_HOME:-$HOME/.local/state}/oscar-bridge/kind
dry_run=''
readonly here root state
readonly CLUSTER=oscar-bridge REGISTRY=oscar-bridge-registry REGISTRY_PORT=5001

say() { printf '== %s\n' "$*" >&2; }

fail() {
  printf 'kind: %s\n' "$*" >&2
  exit 1
}

# The help is the head of the script.
usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2
  exit 2
}

need() {
  local tool
  [ -z "$dry_run" ] || return 0
  for tool; do
    command -v "$tool" >/dev/null || {
      printf 'kind: %s is absent\n' "$tool" >&2
      exit 3
    }
  done
}

# Every change goes through here: printed so that it can be pasted, and done unless --dry-run.
run() {
  printf '+ %s\n' "${*@Q}" >&2
  [ -n "$dry_run" ] || "$@"
}

# A question; with --dry-run nothing is there yet.
is() { [ -z "$dry_run" ] && "$@" >/dev/null 2>&1; }
