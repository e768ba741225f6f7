"""AWS's limits, from `limits.toml`; read when something is large enough to ask."""

from __future__ import annotations


def limit(name: str) -> int:
    """Bytes of the limit in the table of this name."""
    import tomllib  # noqa: PLC0415
    from importlib.resources import files  # noqa: PLC0415

    text = files(__package__).joinpath("limits.toml").read_text("utf-8")
    return int(tomllib.loads(text)[name]["bytes"])
