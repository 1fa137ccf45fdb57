"""Planted mistakes. Each is one a careful person could make, put into the engine's own text while it runs.

A mutant is an edit of one function's source: the text to be replaced must be there exactly once, so a mutant that no
longer fits the code says so instead of changing nothing. The simulation must stop each within a few dozen seeds.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from unittest import mock

from vapi_sessions import client, compare, ledger, load, merge, pipeline, plan, reconcile, survey, walk
from vapi_sessions.warehouse import publish, store

if TYPE_CHECKING:
    from .world import World


@dataclass(frozen=True, slots=True)
class Mutant:
    """`edits` are (old, new) pairs in the source of `owner.name`."""

    what: str
    owner: Any
    name: str
    edits: tuple[tuple[str, str], ...]
    #: Worlds in which it cannot show need not be played: they count as survived.
    shows: Callable[[World], bool]

    @contextlib.contextmanager
    def planted(self) -> Iterator[None]:
        """The engine with this mistake."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(survey, "_nothing_there", _nothing_there, create=True))
            built, original = self._build(), inspect.getattr_static(self.owner, self.name)
            for owner in (self.owner, *_IMPORTERS):
                if inspect.getattr_static(owner, self.name, None) is original:
                    stack.enter_context(mock.patch.object(owner, self.name, built))
            yield

    def _build(self) -> Any:
        original = inspect.getattr_static(self.owner, self.name)
        function = original.__func__ if isinstance(original, (classmethod, staticmethod)) else original
        source = textwrap.dedent(inspect.getsource(function))
        for old, new in self.edits:
            if source.count(old) != 1:
                raise LookupError(f"mutant '{self.what}' no longer fits {function.__qualname__}: {old!r}")
            source = source.replace(old, new)
        module = sys.modules[function.__module__]
        namespace: dict[str, Any] = {}
        code = compile("from __future__ import annotations\n" + source, f"<mutant: {self.what}>", "exec")
        exec(code, module.__dict__, namespace)  # noqa: S102  # our own source, with a mistake
        return namespace[function.__name__]


#: Modules that import functions by name.
_IMPORTERS: Final = (compare, load, merge, pipeline, plan, reconcile, survey)


Shows: TypeAlias = Literal[
    "anywhere", "faults", "faults by id", "traffic", "reordered", "micro", "delay", "no lookback", "stops", "stops in batches",
    "published", "spoilt",
]  # fmt: skip
_SHOWS: Final[dict[Shows, Callable[[World], bool]]] = {
    "anywhere": lambda world: True,
    "faults": lambda world: world.fault_rate > 0.1,
    "faults by id": lambda world: world.fault_rate_by_id > 0.1,
    "published": lambda world: world.publishing,
    "spoilt": lambda world: world.spoiling,
    "traffic": lambda world: world.busy > 0,
    "reordered": lambda world: world.busy > 0 and world.reordering and world.knobs["batch_bytes"] < 10_000,
    "micro": lambda world: world.model.shape.micro_shown,
    "delay": lambda world: world.busy > 0 and world.model.shape.delay > 0,
    "no lookback": lambda world: world.busy > 0 and world.lookback == 0,
    "stops": lambda world: world.stop_rate > 0,
    "stops in batches": lambda world: world.stop_rate > 0 and world.knobs["batch_bytes"] < 10_000,
}


def _m(what: str, owner: Any, name: str, *edits: tuple[str, str], shows: Shows = "anywhere") -> Mutant:
    return Mutant(what, owner, name, edits, _SHOWS[shows])


_BY_PAGE_NUMBERS: Final = """left = tuple(pieces)
    for number_of_piece, piece in enumerate(left):
        number, total = 0, 1
        while number * limit < total:
            number += 1
            page = fetch(Query(updated=piece.window, created=piece.created, limit=limit, page=number))
            total = page.total
            done = number * limit >= total
            rest = left[number_of_piece + 1 :]
            yield Step(page.rows, rest if done else (piece, *rest), page)
    left = ()
"""
_BACKWARDS: Final = """left = tuple(pieces)
    for number_of_piece, piece in enumerate(left):
        upper = piece.created_until
        while True:
            lower = piece.created_from or 0
            created = Window(lower, upper) if upper is not None or piece.created_from is not None else None
            page = fetch(Query(updated=piece.window, created=created, limit=limit, order="DESC"))
            done = len(page.rows) < limit and page.total <= len(page.rows)
            rest = left[number_of_piece + 1 :]
            yield Step(page.rows, rest if done else (piece, *rest), page)
            if done:
                break
            upper = floor_ms(page.rows[-1].created_at) if page.rows else upper
    left = ()
"""
_NEWEST_VALUE: Final = (
    "changes = self._changes()\n",
    """changes = self._changes()
    newest = max((one.updated_at for one in observations), default=0)
    lowest = min((w.planned.window.lower for w in self._windows.values()), default=newest)
    object.__setattr__(changes, "claims", IntervalSet([(lowest, newest)]))
""",
)

MUTANTS: Final = (
    # -- reading a window
    _m("page numbers instead of a keyset", walk, "walk", ("left = tuple(pieces)\n", _BY_PAGE_NUMBERS)),
    _m("reading backwards, exclusively, with ties", walk, "walk", ("left = tuple(pieces)\n", _BACKWARDS)),
    _m("Gt instead of Ge on createdAt", client.Query, "params", ('f"{name}Ge"', 'f"{name}{\'Gt\' if name == \'createdAt\' else \'Ge\'}"')),
    _m("Gt instead of Ge on updatedAt", client.Query, "params", ('f"{name}Ge"', 'f"{name}{\'Gt\' if name == \'updatedAt\' else \'Ge\'}"')),
    _m("the cursor moves past its own instant", walk, "_advance", ("replace(piece, created_from=cursor, tied=tied)", "replace(piece, created_from=cursor + MILLISECOND)")),
    _m("no floor to the millisecond", walk, "_advance", ("floor_ms(row.created_at) for row in rows if row.created_at is not None]", "row.created_at for row in rows]"), shows="micro"),
    _m("a short page is the end", walk, "_advance", ("if len(rows) < limit and page.total <= distinct:", "if len(rows) < limit:"), shows="faults"),
    _m("totalItems alone is the end", walk, "_advance", ("if len(rows) < limit and page.total <= distinct:", "if page.total <= distinct:"), shows="faults"),
    _m("an empty page is the end", walk, "_advance", ("if len(rows) < limit and page.total <= distinct:", "if not rows or (len(rows) < limit and page.total <= distinct):"), shows="faults"),
    _m("one empty list is believed", walk, "_advance", ("(empty := empty + 1) < WITNESSES", "False"), shows="faults"),
    _m("two empty lists are believed", walk, "_advance", ("(empty := empty + 1) < WITNESSES", "(empty := empty + 1) < 2"), shows="faults"),
    _m("filter violations ignored", walk, "_violation", ("(updated := floor_ms(row.updated_at)) not in window", "False"), ("if created_from is not None and created < created_from:", "if False:"), ("if created_until is not None and created >= created_until:", "if False:"), ("if created < previous:", "if False:"), shows="faults"),
    _m("the order of a page is not checked", walk, "_violation", ("if created < previous:", "if False:"), shows="faults"),
    _m("of a repeated row the older state is kept", walk, "_fresh", ("row.updated_at > kept.updated_at", "row.updated_at < kept.updated_at"), shows="faults"),
    _m("the upper part of a cut window first", walk, "_cut", ("(replace(piece, window=lower, tied=tied), replace(piece, window=upper, tied=tied))", "(replace(piece, window=upper, tied=tied), replace(piece, window=lower, tied=tied))"), shows="traffic"),
    _m("a block of ties accepted without proof", walk, "_collect_block", ("len(found) >= total and _is_whole(fetch, updated, at, sorted(found))", "True")),
    _m("a body that does not parse means no rows", client.Source, "_list_once", ('raise _AgainError(f"an answer is not a list of sessions: {self.shown(str(error))}") from None', "metadata, rows = _Metadata(0, query.limit), []"), shows="faults"),
    # -- what has to be read, and what is claimed
    _m("no settling", survey, "make_plan", ("floor_ms(clock - settings.settle)", "floor_ms(clock)"), shows="no lookback"),
    _m("no lookback", ledger, "unsettled_from", ("bound - lookback", "bound"), shows="delay"),
    _m("the newest claim is the watermark, gaps are forgotten", ledger.Ledger, "to_read", ("(everything - self.completed)", "(everything - IntervalSet([(self.origin, self.completed.end or self.origin)]))"), shows="stops"),
    _m("the newest value seen is the watermark", load.Loader, "_prepare", _NEWEST_VALUE),
    _m("the organisation is not checked", survey, "make_plan", ("ledger.org_id is not None and oldest.org_id != ledger.org_id", "False")),
    _m("claims for an empty source", survey, "make_plan", ("return Plan(), {}", "return _nothing_there(settings, probe, ledger)")),
    _m("the open window is claimed beyond the bound", plan.PlannedWindow, "whole", ("upper = bound if window.upper is None", "upper = bound + 60_000_000 if window.upper is None")),
    _m("a window is claimed before it is read to its end", load.Loader, "_changes", ("if not self._windows[i].left", "if True"), shows="stops in batches"),
    _m("the watermark is written before the rows", load.Loader, "_prepare", ("changes = self._changes()\n", "changes = self._changes()\n    self._store.note(changes)\n"), shows="stops"),
    _m("a window that was left in the middle counts as read", survey, "_resume", ("resumed.append(PlannedWindow(", "str(PlannedWindow("), shows="stops in batches"),
    _m("what cannot be read is dropped", load.Loader, "_observe", ("for one, body in zip(odd, bodies[len(rows) :], strict=True):", "for one, body in ():"), shows="spoilt"),
    _m("what reads well again is named for ever", merge, "resolve", ("result.released.add(session_id)", "pass"), shows="spoilt"),
    # -- from rows to tables
    _m("raw written after the merge", load.Loader, "_commit", ("raw.write(self._layout.raw, name, keep, _encode_progress(changes))", "later = (name, keep, _encode_progress(changes))"), ("self._count(batch)\n", "if keep:\n        raw.write(self._layout.raw, *later)\n    self._count(batch)\n"), shows="stops"),
    _m("raw files that were not merged are left alone", load, "recover", ("if path.name not in merged:", "if False:"), shows="stops"),
    _m("requests are numbered anew in each run", pipeline.Run, "__enter__", ('RequestNumbers(int(self.store.state().get("next_seq", "1")))', "RequestNumbers(1)")),
    _m("merge without the guard", merge, "_resolve_one", ("wins = position is None or (observation.updated_at, observation.seq) > position", "wins = True"), shows="reordered"),
    _m("merge without the de-duplication", merge, "resolve", ("_resolve_one(session_id, list(group), known.get(session_id), aside.get(session_id), result)", "max([_resolve_one(session_id, [one], known.get(session_id), aside.get(session_id), result) for one in group])")),
    _m("a change without updatedAt is ignored", merge, "_resolve_one", ("(observation.updated_at, observation.seq) > position", "observation.updated_at > position[0]")),
    _m("marks are never lifted", merge, "_resolve_one", ("stands = mark if mark is not None and mark.seq > last_seen else None", "stands = mark")),
    _m("the first reading is overwritten", merge, "_resolve_one", ("first_synced_at=first,", "first_synced_at=winner.requested_at,")),
    _m("the first sight of a message is overwritten", merge, "_resolve_one", ("growth=growth,", "growth=None,")),
    _m("children are not replaced as a set", store.Store, "_delete", ("for table in schema.TABLES:", "for table in schema.TABLES[:1]:")),
    _m("rows and progress in separate transactions", store.Store, "merge", ("self._note(changes, facts)", "self._db.commit(); self._db.begin(); self._note(changes, facts)"), shows="stops"),
    # -- what is published
    _m("publication in place", publish, "_publish_snapshot", ('name = f"{timestamps.to_datetime(now()):%Y%m%dT%H%M%SZ}-{generation:06d}"', 'name = "20260310T000000Z-000001"'), shows="published"),
    _m("rows are published twice", publish, "_write", ("waiting.append(batch)", "waiting += [batch, batch]")),
    _m("a changed file is not published again", store.Store, "touch", ("SET dirty = true WHERE", "SET dirty = dirty WHERE"), shows="published"),
    _m("a snapshot goes when three are newer", publish, "_remove_old_snapshots", ("if since < now - KEEP", "if True"), shows="published"),
    _m("marks are not published", store.Store, "merge", ("(*resolution.earlier, *resolution.marks)", "(*resolution.earlier,)"), shows="published"),
    # -- deletions
    _m("deletion marked without confirmation", reconcile._Reconciliation, "mark_missing", ("self._source.get(session_id)", "(None, self._now, self._run.numbers.take())")),
    _m("deletion marked from a partial reading", reconcile._Reconciliation, "_read", ("self._run.progress.read(len(step.rows))", "break"), ("self._missing |= missing", "self._missing |= missing\n    [self._loader.mark(i, 'deleted', k, requested_at=self._now, seq=self._run.numbers.take()) for i, k in self._run.store.known(missing).items()]")),
    _m("any 404 proves a deletion", client.Source, "_get_once", ("self._expect_object(response)", "pass"), shows="faults by id"),
    _m("the circuit breaker is off", reconcile._Reconciliation, "mark_missing", ("len(self._missing) > most", "False")),
    _m("what aged out is marked deleted", reconcile._Reconciliation, "mark_missing", ('self._loader.mark(session_id, "aged_out", held', 'self._loader.mark(session_id, "deleted", held')),
    _m("half of a differing window is not compared", compare, "differences", ("todo += [(upper, max(0, theirs - below)), (lower, below)]", "todo += [(lower, below)]")),
    _m("what is young is not read again", reconcile._Reconciliation, "read_again", ("if recheck:", "if False:")),
)  # fmt: skip


def _nothing_there(settings: Any, probe: Any, known: ledger.Ledger) -> tuple[survey.Plan, dict[str, str]]:
    """What a plan for an empty source would be, if emptiness were believed."""
    if known.org_id is None or known.origin is None:
        return survey.Plan(), {}
    bound = walk.floor_ms(probe.requested_at - settings.settle)
    window = plan.Window(min(known.watermark or known.origin, bound), None)
    return survey.Plan((plan.PlannedWindow.whole(window, bound, 0),), bound, known.org_id, known.origin), {}
