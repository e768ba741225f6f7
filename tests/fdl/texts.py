"""Short ways to write FDL and to look at what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from bridge.errors import FdlError, Problem
from bridge.fdl import Document, Service, parse

SHAPES = Path(__file__).with_name("shapes")
EXAMPLES = Path(__file__).parents[2] / "examples"
MINIMAL = "name: svc\nimage: busybox\nscript: run.sh\n"


def oscar(more: str = "", rest: str = "") -> str:
    """A file with one OSCAR service on `lab`, with more keys and more at the top."""
    body = indent(MINIMAL + dedent(more), " " * 6)
    return f"functions:\n  oscar:\n  - lab:\n{body}\n{dedent(rest)}"


def aws(more: str = "", beside: str = "", container: str = "image: busybox") -> str:
    """A file with one function, with more keys in `lambda` and beside it."""
    inside = indent(f"name: fun\n{dedent(more)}", " " * 6)
    image = indent(dedent(container), " " * 8)
    return (
        f"functions:\n  aws:\n  - lambda:\n{inside}\n      container:\n{image}\n"
        f"{indent(dedent(beside), ' ' * 4)}"
    )


def only(text: str) -> Service:
    """The one service of a file."""
    (service,) = parse(text).services
    return service


def problems(text: str) -> list[Problem]:
    """What is wrong with a file; at least one problem."""
    with pytest.raises(FdlError) as caught:
        parse(text, file="f.yaml")
    return list(caught.value.problems)


def problem(text: str) -> Problem:
    """The one problem of a file."""
    (found,) = problems(text)
    return found


def valid_files() -> list[Path]:
    """Every FDL file of ours that is right."""
    return sorted([*SHAPES.glob("*.yaml"), *EXAMPLES.glob("*/*.yaml")])


def load_text(path: Path) -> Document:
    """A file without its scripts."""
    return parse(path.read_bytes().decode(), file=str(path))
