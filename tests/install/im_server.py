"""IM's own server, from PyPI, in an environment of its own: its needs are not to be ours.

    python im_server.py PORT FOLDER      (with the environment's Python)

IM takes its port from fixed files only, so its settings are made here, before it reads them.
"""

import sys
from pathlib import Path

from IM.config import Config

port, folder = int(sys.argv.pop(1)), Path(sys.argv.pop(1))
Config.REST_ADDRESS = "127.0.0.1"
Config.REST_PORT = port
Config.DATA_DB = f"sqlite:///{folder}/im.sqlite"
Config.LOG_FILE = f"{folder}/im.log"
Config.LOG_LEVEL = "DEBUG"
Config.USER_DB = f"{folder}/users.json"

from IM import im_service  # noqa: E402

im_service.main()
