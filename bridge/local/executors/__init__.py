"""Programs that run on this machine: in containers where an engine answers, else as processes.

    Task → Executor.start → Running → Exit

An executor enforces limits, hands over the output line by line while it comes, and leaves nothing
behind: no process, no container, no file. A `Guard` does the same for a parent that was killed.
"""

from bridge.local.executors._choose import ENGINES, choose, resolve
from bridge.local.executors._container import (
    Image,
    container_address,
    container_executor,
    engine_available,
    gateway,
    local_images,
    sweep,
)
from bridge.local.executors._process import RUNTIME_PROGRAMS, ProcessExecutor
from bridge.local.executors.guard import Guard
from bridge.local.executors.model import Executor, Exit, OnExit, Running, Sink, Task

__all__ = [
    "ENGINES",
    "RUNTIME_PROGRAMS",
    "Executor",
    "Exit",
    "Guard",
    "Image",
    "OnExit",
    "ProcessExecutor",
    "Running",
    "Sink",
    "Task",
    "choose",
    "container_address",
    "container_executor",
    "engine_available",
    "gateway",
    "local_images",
    "resolve",
    "sweep",
]
