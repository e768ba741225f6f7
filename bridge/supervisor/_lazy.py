"""Modules that are imported by others at their start and used only in rare cases."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType


def defer(name: str) -> None:
    """Until somebody reads an attribute of this module, importing it costs nothing.

    Does nothing when the module is loaded already. Call it before other threads run.
    """
    if name in sys.modules:
        return
    stand_in = ModuleType(name)

    def load(attribute: str) -> object:
        if attribute.startswith("__"):
            # What the import system asks for must not load the module.
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        real = import_module(name)
        vars(stand_in).update(vars(real))
        return getattr(real, attribute)

    vars(stand_in)["__getattr__"] = load
    sys.modules[name] = stand_in
