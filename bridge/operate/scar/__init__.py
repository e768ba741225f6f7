"""From SCAR to here: its files of any age, and its deployed functions, as FDL of ours."""

from bridge.operate.scar._file import from_file
from bridge.operate.scar._function import from_function
from bridge.operate.scar._write import Imported

__all__ = ["Imported", "from_file", "from_function"]
