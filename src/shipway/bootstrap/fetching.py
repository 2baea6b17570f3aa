"""A trial that begins once the files of its version are here, fetched in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from shipway.serving.routing import Trial


class FetchedTrial:
    """The trial that *begin* gives, after *fetch* has ended; an error of either is the trial's."""

    def __init__(self, fetch: Callable[[], object], begin: Callable[[], Trial]) -> None:
        self._begin = begin
        self._trial: Trial | None = None
        self._fetched: Future[object] = Future()

        def run() -> None:
            try:
                self._fetched.set_result(fetch())
            except BaseException as error:  # handed to whoever asks
                self._fetched.set_exception(error)

        # A daemon, because a store that hangs must not keep the process from ending.
        threading.Thread(target=run, name="fetch-version", daemon=True).start()

    def poll(self) -> bool:
        """See :class:`~shipway.serving.routing.Trial`."""
        if self._trial is None:
            if not self._fetched.done():
                return False
            self._fetched.result()
            self._trial = self._begin()
        return self._trial.poll()

    def abandon(self) -> None:
        """See :class:`~shipway.serving.routing.Trial`; a fetch ends by itself and is of use."""
        if self._trial is not None:
            self._trial.abandon()
