"""What a flow run shows in Prefect beside its log: its name, its progress, and artifacts.

All of it is a comfort. Requests to Prefect's API are sent by a thread of its own, without retries and with short time-outs, and the end of
a run waits a few seconds for them at most. So an API that refuses, hangs or is gone neither fails a run nor delays it.
"""

from __future__ import annotations

import contextvars
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from vapi_sessions.core.wording import counted
from vapi_sessions.operations.progress import LogProgress

#: Seconds between two updates of the progress.
EVERY: Final = 3.0
#: Seconds between two lines about the progress in the log.
LOG_EVERY: Final = 30.0
#: Seconds that one request may take, and that the end of a run waits for all of them.
TIMEOUT: Final = 5.0
PATIENCE: Final = 10.0

Job = Callable[[SyncPrefectClient], object]
Logger = logging.Logger | logging.LoggerAdapter[Any]


class FlowProgress(LogProgress):
    """The progress of a run: to Prefect's log, and counted for its progress artifact. Thread-safe."""

    def __init__(self, logger: Logger, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            lambda text: logger.info("%s", text),
            lambda text: logger.warning("%s", text),
        )
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._logged = monotonic()
        self._sessions = self._expected = 0
        self._done = self._windows = 0

    def planned(self, windows: int, sessions: int) -> None:
        """Log the plan, and remember the totals."""
        with self._lock:
            self._windows, self._expected = windows, sessions
        super().planned(windows, sessions)

    def read(self, sessions: int) -> None:
        """Count, and log now and then."""
        with self._lock:
            self._sessions += sessions
            now = self._monotonic()
            due = now - self._logged >= LOG_EVERY
            if due:
                self._logged = now
        if due:
            self.say(self.text)

    def window_done(self) -> None:
        """Count a window."""
        with self._lock:
            self._done += 1

    @property
    def percent(self) -> float | None:
        """The share of the planned sessions that was read; None without a plan. 100 only at the end of the run."""
        with self._lock:
            return min(99.0, 100.0 * self._sessions / self._expected) if self._expected else None

    @property
    def text(self) -> str:
        """The counts so far."""
        with self._lock:
            if not self._expected:
                return f"{counted(self._sessions, 'session')} read"
            return (
                f"{self._sessions:,} of {counted(self._expected, 'session')} read, "
                f"{self._done:,} of {counted(self._windows, 'window')}"
            )


class Page:
    """The run's page in Prefect: its name, its progress and its artifacts. A context manager around the run.

    `key` begins the artifacts' keys. It is set once the warehouse's organisation is known; before, no progress is shown.
    Outside of a flow run nothing is sent.
    """

    def __init__(
        self,
        progress: FlowProgress,
        logger: Logger,
        *,
        flow_run_id: UUID | None = None,
        every: float = EVERY,
        patience: float = PATIENCE,
    ) -> None:
        context = FlowRunContext.get()
        if flow_run_id is None and context is not None and context.flow_run is not None:
            flow_run_id = context.flow_run.id
        self._run = flow_run_id
        self._progress, self._logger = progress, logger
        self._every, self._patience = every, patience
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._progress_id: UUID | None = None
        self._shown = ""
        self._complained = False
        self.key = ""

    def __enter__(self) -> Self:
        if self._run is not None:
            # In a copy of this context, which has Prefect's settings. A daemon: the process does not wait for it at its end.
            work = contextvars.copy_context().run
            self._thread = threading.Thread(target=work, args=(self._work,), name="artifacts", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._run is None:
            return
        self._jobs.put(lambda client: self._update_progress(client, ended=error is None))
        self._jobs.put(None)
        interrupted = error is not None and not isinstance(error, Exception)
        self._thread.join(0.0 if interrupted else self._patience)
        if self._thread.is_alive() and not interrupted:
            self._complain(f"it did not answer within {self._patience:g} s")

    def rename(self, name: str) -> None:
        """Give the flow run this name."""
        if (run := self._run) is not None:
            self._jobs.put(lambda client: client.set_flow_run_name(run, name))

    def table(self, what: str, rows: Sequence[Mapping[str, object]], description: str) -> None:
        """Leave a table."""
        self._create("table", what, json.dumps(list(rows)), description)

    def markdown(self, what: str, text: str, description: str) -> None:
        """Leave a text."""
        self._create("markdown", what, text, description)

    def _create(self, kind: str, what: str, data: str, description: str) -> None:
        if self._run is not None:
            self._jobs.put(
                lambda client: client.create_artifact(self._artifact(kind, what, data, description))
            )

    def _artifact(self, kind: str, what: str, data: str | float, description: str) -> ArtifactCreate:
        return ArtifactCreate(
            key=_key(self.key, what), type=kind, data=data, description=description, flow_run_id=self._run
        )

    # -- in the thread -------------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            with (
                temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
                get_client(httpx_settings={"timeout": TIMEOUT}, sync_client=True) as client,
            ):
                while (job := self._next()) is not None:
                    try:
                        job(client)
                    except Exception as error:
                        self._complain(_reason(error))
        except Exception as error:  # settings that allow no client
            self._complain(_reason(error))

    def _next(self) -> Job | None:
        try:
            return self._jobs.get(timeout=self._every)
        except queue.Empty:
            return self._update_progress

    def _update_progress(self, client: SyncPrefectClient, ended: bool = False) -> None:
        """Show the progress. A run that ends before the first update leaves none."""
        percent, text = self._progress.percent, self._progress.text
        if percent is None or not self.key or (self._progress_id is None and ended):
            return
        if ended:
            percent = 100.0
        if (shown := f"{percent} {text}") == self._shown:
            return
        if self._progress_id is None:
            self._progress_id = client.create_artifact(
                self._artifact("progress", "progress", percent, text)
            ).id
        else:
            client.update_artifact(self._progress_id, ArtifactUpdate(data=percent, description=text))
        self._shown = shown

    def _complain(self, reason: str) -> None:
        if not self._complained:
            self._complained = True
            self._logger.warning(
                "Prefect's API does not take this run's name or artifacts (%s). The run itself is not affected.",
                reason,
            )


def _key(*parts: str) -> str:
    """A key as Prefect allows it: lower-case letters, digits and dashes."""
    return re.sub("[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def _reason(error: Exception) -> str:
    """The error in a few words, without the address, which may have a password."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"it answers {status}" if status is not None else type(error).__name__
