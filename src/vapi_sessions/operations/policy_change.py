"""A change of the personal data policy or of the redaction: whatever is stored is rewritten under a stricter one.

A rewrite begins with a durable record (`sync.state` still names the old sanitizer), can be repeated, and ends by changing that
record. So the next writer completes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vapi_sessions.core import faultpoints
from vapi_sessions.core.disk_errors import disk_errors
from vapi_sessions.core.intervals import IntervalSet
from vapi_sessions.core.wording import counted
from vapi_sessions.errors import ConfigurationError, WarehouseDamagedError
from vapi_sessions.operations.erasure import put_in_place, record_compared
from vapi_sessions.operations.progress import Progress
from vapi_sessions.operations.recovery import Recovery, recover
from vapi_sessions.privacy.sanitizer import STATE, Sanitizer
from vapi_sessions.source.environment import Clocks
from vapi_sessions.warehouse import adopt, erase, raw
from vapi_sessions.warehouse.index import Changes, Index
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.snapshots import Publisher
from vapi_sessions.warehouse.staging import Staging
from vapi_sessions.warehouse.suppression import Suppression

#: Sessions that an error names, at most.
_NAMED: Final = 20


def check_sanitizer(state: Mapping[str, str], sanitizer: Sanitizer, *, empty: bool) -> bool:
    """Whether everything stored must be rewritten under this sanitizer. Raises ConfigurationError for another pseudonym key."""
    if not sanitizer.same_key(state):
        raise ConfigurationError(
            "The pseudonyms in this warehouse were made with another key.",
            "Set VAPI_PSEUDONYM_KEY to that key, or use a new --warehouse: pseudonyms of two keys cannot be joined.",
        )
    return not empty and sanitizer.is_stricter(state.get(STATE))


def looser_message(state: Mapping[str, str], sanitizer: Sanitizer) -> str:
    """A message if the policy is looser than the stored one; "" otherwise."""
    if STATE not in state or not sanitizer.is_looser(state[STATE]):
        return ""
    return "the personal data policy is looser than before: stored sessions stay as they are until they are read again"


def tighten(
    layout: Layout,
    sanitizer: Sanitizer,
    clocks: Clocks,
    suppression: Suppression,
    progress: Progress,
) -> int:
    """Rewrite raw/ and everything derived from it under a stricter sanitizer; returns the raw files written.

    The ledger is kept, so nothing is downloaded again, except the sessions of torn files. Earlier databases and snapshots are
    removed. Raises WarehouseDamagedError, with nothing rewritten, if `raw/` does not have all sessions.
    """
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        recover(index, layout, now=clocks.now, suppression=suppression)
        index.checkpoint()
        _check_raw(index, layout)
    written, torn = erase.sanitize_raw(layout, sanitizer)
    torn += _derive_again(layout, clocks, suppression)
    if torn:
        progress.warn(Recovery(torn=torn).warning)
    raw.empty_torn(layout.raw)  # they may hold anything
    with Index(layout.index, layout.scratch, sleep=clocks.sleep) as index:
        staging = Staging.begin(layout.staging)
        Publisher(index, layout, staging, clocks.now, progress.say, progress.warn).publish(force=True)
        current = index.state().get("snapshot")
        faultpoints.reach("tighten.published")
        erase.by_products(layout, [path for path in erase.snapshots(layout) if path.name != current])
        index.record(Changes(state=sanitizer.state))
        record_compared(index, layout, suppression)
        index.checkpoint()
    return written


def _check_raw(index: Index, layout: Layout) -> None:
    """Raise WarehouseDamagedError if files of `raw/` are missing: derived again from there, their sessions would be gone.

    A torn file is no such case: its sessions are read again.
    """
    there = {path.name for path in raw.files(layout.raw)}
    there |= {path.name.removesuffix(".torn") for path in raw.torn(layout.raw)}
    if missing := index.sessions_not_in(there):
        more = ", …" if len(missing) > _NAMED else ""
        raise WarehouseDamagedError(
            f"{layout.raw} does not have {counted(len(missing), 'session')} that the warehouse holds, and only from there can they be "
            f"rewritten under the stricter policy ({', '.join(missing[:_NAMED])}{more}).",
            "Restore the missing files of raw/ from a backup. To go on without them, move vapi.duckdb away and run vapi-sessions "
            "rebuild: then sync and reconcile read again what the source still lists.",
        )


def _derive_again(layout: Layout, clocks: Clocks, suppression: Suppression) -> tuple[str, ...]:
    """Replace the index by one that is derived from raw/, with the ledger of the old one; returns the names of torn files.

    Their sessions do not count as read any more.
    """
    draft = layout.scratch / "derived.duckdb"
    with disk_errors(draft):
        draft.unlink(missing_ok=True)
    with Index(draft, layout.scratch, sleep=clocks.sleep) as index:
        torn = recover(index, layout, now=clocks.now, suppression=suppression).torn
        adopt.adopt_ledger(index, layout.index)
        if lost := adopt.not_derived(index, layout.index):
            index.withdraw(IntervalSet([lost]))
        index.checkpoint()
    with disk_errors(layout.root):
        put_in_place(layout, draft)
    return torn


def stricter_message(sanitizer: Sanitizer) -> str:
    """The message about a policy that became stricter."""
    return f"policy or redactor became stricter ({level(sanitizer)}): rewriting what is stored"


def level(sanitizer: Sanitizer) -> str:
    """The policy in force, in words."""
    policy = sanitizer.policy
    words = {"keep": "kept", "pseudonymise": "pseudonymised", "mask": "masked", "drop": "dropped"}
    return f"personal data {words[policy.personal]}, message text {words[policy.text]}"
