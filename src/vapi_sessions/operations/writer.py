"""A warehouse open for one run: locked, recovered, without what was forgotten, and under the policy in force."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from vapi_sessions.core.memory import fewer_collections
from vapi_sessions.core.wording import counted
from vapi_sessions.operations import erasure, policy_change
from vapi_sessions.operations.merge_files import A_SYNC, merge_small_files
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.recovery import recover
from vapi_sessions.operations.running import Reported
from vapi_sessions.operations.take_over import take_over
from vapi_sessions.settings import Settings
from vapi_sessions.source.environment import Clocks
from vapi_sessions.warehouse import told_drift
from vapi_sessions.warehouse.customers import CustomersHeld
from vapi_sessions.warehouse.index import Index
from vapi_sessions.warehouse.layout import Keep, Layout, writer_lock
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.space import note_size
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression
from vapi_sessions.warehouse.time_zone import set_time_zone


class Writer:
    """Holds the writer's lock and the open index. Use as a context manager. Raises WarehouseError and ConfigurationError.

    On entry it stores the time zone of the views, and finishes what earlier runs left: a take-over, raw files that were not merged, an erasure, a policy that became
    stricter. On exit it closes the index, erases what the run found to be forgotten, and releases the lock.
    """

    def __init__(self, settings: Settings, clocks: Clocks, progress: Progress, command: str) -> None:
        self.layout = Layout(settings.warehouse, Keep(settings.keep_snapshots, settings.keep_hours))
        self.sanitizer = settings.sanitizer()
        #: Raw files of earlier runs that were merged on entry.
        self.recovered_files = 0
        self._region = settings.phone_region
        self._time_zone = settings.time_zone
        self._clocks = clocks
        self._progress = progress
        self._command = command
        self._stack = ExitStack()
        self._erasure_due = False

    def __enter__(self) -> Writer:
        layout = self.layout
        layout.create()
        with self._stack:
            self._stack.enter_context(fewer_collections())
            self._stack.enter_context(writer_lock(layout))
            self._progress = self._stack.enter_context(
                Reported(self._progress, layout, self._command, self._clocks.now)
            )
            self.suppression = Suppression.open(layout, create=True, region=self._region)
            take_over(layout, self.suppression, self._clocks, self._progress)
            self._stack.callback(self._erase_if_due)  # after the index is closed, before the lock is released
            self._open_index()
            if self.index.migrated:
                self._progress.say(
                    "an earlier version made this warehouse: converted it, nothing is downloaded"
                )
            set_time_zone(self.index, self._time_zone, [layout.published])
            self.index.close_dead_runs()
            told_drift.prepare(self.index)
            self._recover()
            self._complete_forget()
            self._apply_policy()
            staging = Staging.begin(layout.staging)
            self.publisher = Publisher(
                self.index,
                layout,
                staging,
                self._clocks.now,
                self._progress.say,
                self._progress.warn,
                self._progress.publishing,
            )
            if snapshot := self.index.state().get("snapshot"):
                self.suppression.trust(CustomersHeld(layout.parquet / snapshot))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def progress(self) -> Progress:
        """The display, which other processes see too while the warehouse is open."""
        return self._progress

    def conclude(self) -> None:
        """The run has ended well: look for sessions that it found to be forgotten; all changes are in the database file."""
        self._erasure_due = erasure.joined_held(self.index, self.suppression)
        if not self._erasure_due:
            erasure.record_compared(self.index, self.layout, self.suppression)
        self.index.checkpoint()

    def tidy(self) -> None:
        """Before a publication: merge small raw files, and once a day note the size and prune the record of runs."""
        merge_small_files(self.index, self.layout, warn=self._progress.warn, most=A_SYNC)
        note_size(self.index, self.layout, self._clocks.now())

    def _open_index(self) -> None:
        layout = self.layout
        self.index = self._stack.enter_context(Index(layout.index, layout.scratch, sleep=self._clocks.sleep))

    def _recover(self) -> None:
        recovery = recover(self.index, self.layout, now=self._clocks.now, suppression=self.suppression)
        self.recovered_files = recovery.merged
        if recovery.warning:
            self._progress.warn(recovery.warning)
        if recovery.merged:
            files = counted(recovery.merged, "raw file")
            self._progress.say(f"merged {files} that an earlier run had fetched and not merged")

    def _complete_forget(self) -> None:
        """Erase sessions that are on the suppression list: an erasure was interrupted, or a backup restored."""
        interrupted = self.suppression.pending
        if erasure.still_held(
            self.index, self.layout, self.suppression, now=self._clocks.now, say=self._progress.say
        ):
            self._without_index(self._erase_forgotten)
            if interrupted:
                self._progress.say("completed a forget that had been interrupted")

    def _apply_policy(self) -> None:
        """Rewrite what is stored if the policy became stricter, before anything is read under it."""
        state = self.index.state()
        if policy_change.check_sanitizer(state, self.sanitizer, empty=self.index.is_empty()):
            self._progress.say(policy_change.stricter_message(self.sanitizer))
            self._without_index(
                lambda: policy_change.tighten(
                    self.layout, self.sanitizer, self._clocks, self.suppression, self._progress
                )
            )
        elif message := policy_change.looser_message(state, self.sanitizer):
            self._progress.say(message)

    def _without_index(self, work: Callable[[], object]) -> None:
        """Do work that opens the index itself, then open it again."""
        self.index.__exit__(None, None, None)
        work()
        self._open_index()

    def _erase_if_due(self) -> None:
        if self._erasure_due:
            self._erase_forgotten()

    def _erase_forgotten(self) -> None:
        done = erasure.erase_forgotten(self.layout, self.suppression, self._clocks, self._progress)
        if done.sessions or done.observations:
            were = "session that was" if done.sessions == 1 else "sessions that were"
            self._progress.say(f"erased {done.sessions:,} {were} forgotten and still held")
