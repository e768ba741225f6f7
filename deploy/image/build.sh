#!/bin/bash
# Builds the manager's image and the runtime's from this work tree.
#
# Usage: deploy/image/build.sh [--push] [PREFIX]
#   PREFIX   of the images PREFIX/manager:VERSION and PREFIX/runtime:VERSION (default: oscar-bridge)
#   --push   send them to the registry that PREFIX names
#   PYTHON   a Python 3.11 or newer with pip (default: python3)
#   BASE     image with the same version of Python that the manager's is built on (default: Debian's
#            slim one from Docker Hub)
#
# Packages come from PyPI; the image needs no pip. Needs a Docker engine. Prints the two names.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
push=''
if [ "${1:-}" = --push ]; then
  push=--push
  shift
fi
prefix=${1:-oscar-bridge}
python=${PYTHON:-python3}
say() { printf 'image: %s\n' "$*" >&2; }

read -r version series < <("$python" -c '
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    print(tomllib.load(file)["project"]["version"], "{}.{}".format(*sys.version_info))')
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

say "packages"
"$python" -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt \
  --target "$context/site" '.[manager,kubernetes,oscar,aws,otel,postgres]' >&2
say "$prefix/manager:$version"
docker build --quiet --build-arg "BASE=${BASE:-python:$series-slim}" --tag "$prefix/manager:$version" \
  --file deploy/image/Dockerfile "$context" >&2
[ -z "$push" ] || docker push --quiet "$prefix/manager:$version" >&2
say "$prefix/runtime:$version"
PYTHONPATH=$context/site "$context/site/bin/oscar-bridge" runtime image --name "$prefix/runtime:$version" $push >&2
printf '%s\n' "$prefix/manager:$version" "$prefix/runtime:$version"
