"""The HTTP transport of a world: the model answers each request, and something may go wrong with the answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from vapi_sessions.core.timestamps import MILLISECOND

from . import faults
from .model import EMPTY_KEY, KEY, ORG, OTHER_KEY, OTHER_ORG, Answer
from .record import RunRecord
from .violation import Violation

if TYPE_CHECKING:
    from .world import World


class Transport(httpx.BaseTransport):
    """Takes the place of the network between the engine and the model of `world`."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Answers that a cache may give again, by URL.
        self._cache: dict[str, faults.Reply] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request. Time passes and traffic happens before it is answered."""
        world = self._world
        record = world.run_record
        if record is None:
            raise Violation("a request outside a run")
        before = world.clock.ours()
        world.stops.passing("request")
        world.clock.pass_(world.rng.randrange(20 * MILLISECOND, 300 * MILLISECOND))
        world.happen()
        record.requests += 1
        world.fired["published on its way"] += record.published
        record.published = False
        response = self.respond(request, record, before)
        world.clock.pass_(world.rng.randrange(20 * MILLISECOND))
        return response

    def respond(self, request: httpx.Request, record: RunRecord, before: int) -> httpx.Response:
        """The response, with or without a fault. `before`: our clock when the request was sent, µs."""
        world = self._world
        params = dict(request.url.params)
        present = world.clock.source()
        if request.url.path != "/session":
            return self._session(request, record, request.url.path.rsplit("/", 1)[1], present)
        answer, name, date = self._answer(params), "", present
        faulty = world.rng.random() < world.fault_rate
        persistent, record.again = record.again or world.persistent, ""
        always = persistent if persistent in faults.LIES else ""
        lying = 0.9 if world.leaning in faults.LIES else 0.3
        if world.key == KEY and (always or (faulty and world.rng.random() < lying)):
            lie = faults.lie(world.model, params, world.rng, world.lag, always, world.leaning)
            denied = lie is not None and answer.total > 0 and lie[1].total == 0
            if lie is not None and not (denied and record.denied == faults.NOTHING_A_RUN):
                name, answer = lie
                record.denied += denied
                self._count(record, name)
            faulty = False
        reply = faults.Reply(faults.text(answer, params), date)
        if name == "stale page":
            reply = self._aged(reply)
        url = str(request.url)
        if faulty and world.rng.random() < 0.3 and url in self._cache and world.key == KEY:
            reply, faulty = self._aged(self._cache[url]), False
            self._count(record, "cached page")
        # Probes for the oldest session: one row, or 100 if the first cannot be read.
        if world.key == KEY and params.get("limit") in ("1", "100") and len(params) == 3:
            self._cache[url] = reply
            self._record_bound(record, reply, before)
        if len(answer.rows) > 1 and len({s.created_at // MILLISECOND for s, _ in answer.rows}) == 1:
            record.tied += 1
        if "page" in params and params["limit"] != "1":
            world.fired["recovery: block of ties by pages"] += 1
        if "idAny" in params:
            world.fired["recovery: block of ties proven"] += 1
        if faulty or persistent in faults.BREAKAGES:
            return self._break(reply, request, record, persistent)
        return reply.response(request)

    def _answer(self, params: dict[str, str]) -> Answer:
        """The answer of the source to the key in use."""
        world = self._world
        if world.key == EMPTY_KEY:
            return Answer([], 0, int(params["limit"]), False)
        answer = world.model.answer(params)
        if world.key == OTHER_KEY:
            rows = [
                (session, replace(version, body=version.body.replace(ORG.encode(), OTHER_ORG.encode())))
                for session, version in answer.rows
            ]
            return replace(answer, rows=rows)
        return answer

    def _session(
        self, request: httpx.Request, record: RunRecord, session_id: str, present: int
    ) -> httpx.Response:
        """One session by its id, or 404."""
        world = self._world
        version = world.model.get(session_id)
        reply = (
            faults.Reply(version.body, present)
            if version is not None
            else faults.Reply(
                b'{"statusCode":404,"message":"Not Found","error":"Not Found"}', present, status=404
            )
        )
        if world.rng.random() < world.fault_rate_by_id:
            return self._break(reply, request, record, world.persistent)
        if version is None and world.invariants is not None:
            world.invariants.proven_absent.add(session_id)
        return reply.response(request)

    def _break(
        self, reply: faults.Reply, request: httpx.Request, record: RunRecord, persistent: str
    ) -> httpx.Response:
        world = self._world
        weights = [
            weight * (faults.LEANING if name == world.leaning else 1)
            for name, (_, weight) in faults.BREAKAGES.items()
        ]
        (name,) = world.rng.choices(list(faults.BREAKAGES), weights)
        if persistent in faults.BREAKAGES:
            name = persistent
        self._count(record, name)
        return faults.BREAKAGES[name][0](reply, request, world.rng, world.model)

    def _count(self, record: RunRecord, name: str) -> None:
        world = self._world
        record.faulty += 1
        if name == world.leaning and world.repeating and world.rng.random() < world.repeating:
            record.again = name
        world.fired[f"fault: {name}"] += 1

    def _aged(self, reply: faults.Reply) -> faults.Reply:
        """An old answer, with or without an `Age` header."""
        world = self._world
        with_age = world.rng.random() < 0.6
        world.fired[f"stale {'with' if with_age else 'without'} Age"] += 1
        return faults.Reply(reply.body, reply.date, age=world.rng.randrange(60)) if with_age else reply

    def _record_bound(self, record: RunRecord, reply: faults.Reply, before: int) -> None:
        """The engine may believe any of its probes, so the latest bound of all counts."""
        world = self._world
        clock = max(before, world.clock.ours())
        if reply.age is None and reply.date is not None:
            clock = min(clock, reply.date)
        bound = clock - world.settle
        record.bound = bound if record.bound is None else max(record.bound, bound)
