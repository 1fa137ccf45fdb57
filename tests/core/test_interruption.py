"""Ctrl-C is postponed while work is done that would have to begin again."""

from __future__ import annotations

import threading

import pytest

from vapi_sessions.core import interruption


def test_an_interruption_is_raised_when_the_work_is_done() -> None:
    """After the outermost block, and once."""
    done = []

    def work() -> None:
        with interruption.postponed():
            with interruption.postponed():
                done.append(interruption.postpone())
            done.append("more")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True, "more"]
    with interruption.postponed():
        pass


def test_without_such_work_it_is_raised_at_once() -> None:
    """The handler raises it."""
    assert not interruption.postpone()


def test_an_error_of_the_work_comes_first() -> None:
    """The run ends anyway."""

    def work() -> None:
        with interruption.postponed():
            interruption.postpone()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not interruption.postpone()


def test_work_in_other_threads_postpones_nothing() -> None:
    """Signals interrupt the main thread only, and it waits for the others."""
    began, end = threading.Event(), threading.Event()

    def work() -> None:
        with interruption.postponed():
            began.set()
            end.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    assert began.wait(10)
    assert not interruption.postpone()
    end.set()
    thread.join()
