"""Our functions and our Batch, put behind the emulator. Import as late as the emulator."""

from __future__ import annotations

from bridge.local.aws import emulator
from bridge.local.aws._ecr import EcrExecutor, LocalRegistry
from bridge.local.aws._logs import LogWriter
from bridge.local.aws.batch import BatchApi, BatchEngine, resource_handlers
from bridge.local.aws.functions import AsyncInvoker, Pool
from bridge.local.aws.model import Place, Settings
from bridge.local.executors import Executor, local_images


class Engines:
    """What runs programs for the endpoint; `close` ends all of them."""

    def __init__(self, executor: Executor, host: str, place: Place, settings: Settings) -> None:
        cloud = emulator.EmulatedCloud()
        contained = executor.engine == "container"
        executor = EcrExecutor(executor) if contained else executor
        self._executor = executor
        self._logs = LogWriter(cloud, settings.log_bytes)
        self._pool = Pool(executor, host, self._logs, place, settings)
        self._invoker = AsyncInvoker(cloud, settings)
        self._batch = BatchEngine(executor, cloud, self._logs, place, settings)
        api = BatchApi(self._batch, settings, emulator.current_scope)
        emulator.install_functions(self._pool, self._invoker, executor.check)
        emulator.install_keys(place.keys())
        emulator.install_storage()
        emulator.install_logs()
        emulator.install_registry(LocalRegistry(local_images if contained else dict))
        emulator.install_batch(api.handle, resource_handlers(api))
        emulator.install_routes()
        emulator.install_stacks()

    def close(self) -> None:
        """End everything that runs, then write the last logs."""
        self._invoker.close()
        self._batch.close()
        self._pool.close()
        self._executor.close()
        self._logs.close()
