"""What the manager says while it works: lines for people, or JSON for programs to collect."""

from __future__ import annotations

import json
import logging
import time
from typing import Final

from bridge.errors import UsageError

__all__ = ["set_up"]

_FORMS: Final = ("", "text", "json")


def set_up(form: str) -> None:
    """Log to standard error from now on: `text`, which is also "", or `json`.

    JSON is one object to a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, and where
    there was an exception `exception` with its traceback. UsageError for another form.
    """
    if form not in _FORMS:
        raise UsageError(f"BRIDGE_LOG={form!r} is no form of a log", hint="write text or json")
    made: logging.Formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    if form == "json":
        made = _Json()
    handler = logging.StreamHandler()
    handler.setFormatter(made)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


class _Json(logging.Formatter):
    """One JSON object to a record, in ASCII: a line that holds another's text stays one line."""

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        found = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found)
