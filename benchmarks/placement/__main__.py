"""python benchmarks/placement: the comparison of our policies with others and with the optimum."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

if __name__ == "__main__":
    import_module("benchmarks.placement.run").main()
