"""The text of `bin/bridge-*`.

It is a script of `/bin/sh` and not a program: it is the same on every machine, nothing has to be
compiled where the folder is built, and an image without a shell could not run a user's script
anyway. The usual way through it starts no process. The loader learns its library path from its
arguments and the interpreter finds its home beside itself, so nothing is exported that the user's
script could inherit. LD_PRELOAD, made for the image's own C library, is set aside for the script
as BRIDGE_ORIG_LD_PRELOAD, which the supervisor gives back to it.
"""

from __future__ import annotations

from typing import Final

ENTRIES: Final = {
    "bridge-batch": "batch.__main__",
    "bridge-http": "bridge.supervisor.web.__main__",
    "bridge-lambda": "lambda_runtime.__main__",
    "bridge-supervisor": "bridge.supervisor.__main__",
}

_TEMPLATE = """\
#!/bin/sh
# Starts @ENTRY@ of OSCAR Bridge with the loader, libraries and interpreter of this folder.
p=$0
case $p in
  */*) ;;
  *) p=$(command -v -- "$p") ;;
esac
while [ -h "$p" ]; do
  l=$(readlink "$p") || {
    echo "@ENTRY@: no readlink in this image: call it by its real path" >&2
    exit 127
  }
  case $l in
    /*) p=$l ;;
    *) p=${p%/*}/$l ;;
  esac
done
h=${p%/*}
case $h in
  /*) ;;
  *) h=$PWD/$h ;;
esac
case $h in
  */bin) h=${h%/bin} ;;
  *) h=$h/.. ;;
esac
[ -f "$h/lib/@LOADER@" ] || h=$(cd -P "${p%/*}" && cd .. && pwd)
case $h in
  *[:\\;\\$]*) echo "@ENTRY@: the folder's path must not contain : ; or \\$" >&2; exit 127 ;;
esac
if [ -n "${LD_PRELOAD-}" ]; then # for the user's script only
  BRIDGE_ORIG_LD_PRELOAD=$LD_PRELOAD
  export BRIDGE_ORIG_LD_PRELOAD
  unset LD_PRELOAD
fi
exec "$h/lib/@LOADER@" --library-path "$h/lib" "$h/bin/@PYTHON@" -I -S -B -X utf8 \\
  -c 'import bridge_start; bridge_start.main("@ENTRY@", "@MODULE@")' "$@"
"""


def launcher(entry: str, *, loader: str, python: str) -> str:
    """The script that starts one entry; `loader` and `python` are names of files in the folder."""
    values = {"ENTRY": entry, "MODULE": ENTRIES[entry], "LOADER": loader, "PYTHON": python}
    text = _TEMPLATE
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text
