"""`suppression.json`: who is on it is slow to guess, lists of earlier versions work, and questions are cheap."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from vapi_sessions.privacy.policy import PersonalData, Policy
from vapi_sessions.warehouse import suppression
from vapi_sessions.warehouse.layout import Layout
from vapi_sessions.warehouse.suppression import Suppression

QUICK = (2, 8, 1)
KEY = "ab" * 32


class Row(NamedTuple):
    """A session of a page."""

    session_id: str | None
    created_at: int | None
    body: bytes


def row(session_id: str | None, **customer: Any) -> Row:
    return Row(session_id, 1000, msgspec.json.encode({"id": session_id, "customer": customer}))


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """The directory of a warehouse whose list has quick hashes."""
    monkeypatch.setattr(suppression, "COST", QUICK)
    return Layout(tmp_path)


def content(layout: Layout) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((layout.root / "suppression.json").read_bytes())
    return found


def test_guessing_who_is_listed_takes_scrypt(tmp_path: Path) -> None:
    """Its parameters are in the file, and the file has no quick hash of a value that identifies a person."""
    listed = Suppression.open(Layout(tmp_path), create=True)
    started = time.thread_time()
    listed.begin({"s1": (1000, [0])}, [("number", ["+14155550100"])], at=5)
    assert time.thread_time() - started > 0.005  # a keyed hash takes a thousandth of that
    found = content(Layout(tmp_path))
    n, r, p = found["cost"]
    assert n * r * p >= 2**17
    key = bytes.fromhex(found["key"])
    ((name, person),) = found["people"].items()
    message = b"number\0+14155550100"
    slow = hashlib.scrypt(message, salt=key, n=n, r=r, p=p, maxmem=2**28, dklen=32).hex()
    assert person == {"kind": "number", "at": 5, "hashes": [slow]}
    text = json.dumps(found)
    assert hmac.digest(key, message, "sha256").hex()[:8] not in text
    assert found["sessions"] == {hmac.digest(key, b"id\0s1", "sha256").hex(): [1000, 5, [name]]}


def test_a_list_keeps_its_scrypt_parameters(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """New lists may have others."""
    Suppression.open(layout, create=True).begin({}, [("number", ["+14155550100"])], at=5)
    monkeypatch.setattr(suppression, "COST", (4, 8, 1))
    assert Suppression.open(layout).named(row("s1", number="14155550100").body)


def test_a_list_of_an_earlier_version_works_and_is_replaced(layout: Layout) -> None:
    """It has quick hashes. When a customer is seen again, the quick hash is removed."""
    quick = {
        value: hmac.digest(bytes.fromhex(KEY), f"{kind}\0{value}".encode(), "sha256").hex()
        for kind, value in (("id", "s1"), ("number", "+14155550100"), ("email", "bob@mail.test"))
    }
    old = {
        "key": KEY,
        "sessions": {quick["s1"]: 1000},
        "gone": [],
        "customers": sorted(list(quick.values())[1:]),
    }
    (layout.root / "suppression.json").write_text(json.dumps(old))
    listed = Suppression.open(layout)
    assert listed.holds("s1")
    assert len(listed.people) == 2
    rows = [row("s1"), row("s2", number="+1 (415) 555-0100"), row("s3", number="+14155550101")]
    assert [one.session_id for one in listed.admit(rows)] == ["s3"]
    found = content(layout)
    assert found["customers"] == [quick["bob@mail.test"]]
    assert quick["+14155550100"] not in json.dumps(found)
    again = Suppression.open(layout)
    assert again.holds("s2")
    assert again.named(row("s4", number="0014155550100").body) == {quick["+14155550100"][:8]}
    again.begin({}, [("email", ["bob@mail.test"])], at=7)
    assert "customers" not in content(layout)
    assert again.remove("BOB@mail.test") == ("email", 0)
    assert again.remove("+14155550100") == ("number", 1)
    assert again.remove("s1") == ("session", 1)
    assert Suppression.open(layout).empty


def test_forgetting_twice_is_one_entry(layout: Layout) -> None:
    """A session stays out while one of its entries is left."""
    listed = Suppression.open(layout, create=True)
    people = [("number", ["+14155550100"]), ("email", ["bob@mail.test"])]
    (number, email) = listed.begin({"s1": (1000, [0, 1])}, people, at=5)
    assert listed.begin({}, people[:1], at=9) == [number]
    assert [(e.name, e.kind, e.at, e.sessions) for e in listed.entries()] == [
        (email, "email", 5, 1),
        (number, "number", 5, 1),
    ]
    assert listed.remove(number) == ("number", 0)
    assert listed.holds("s1")
    assert listed.remove(email) == ("email", 1)
    assert not Suppression.open(layout).holds("s1")


def test_only_new_customers_are_hashed_and_only_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """For kinds that are on the list. Customers in the warehouse cost nothing."""
    policy = Policy(PersonalData.PSEUDONYMISE, key=b"k" * 20)
    listed = Suppression.open(layout, create=True)
    listed.begin({}, [("number", ["+14155550100", policy.pseudonym("number", "+14155550100")])], at=5)
    listed = Suppression.open(layout)
    listed.trust(lambda kind, value: value in ("+14155550101", policy.pseudonym("number", "+14155550101")))
    hashed = []

    def counting(message: bytes, **given: Any) -> bytes:
        hashed.append(message)
        return b"0"

    monkeypatch.setattr(hashlib, "scrypt", counting)
    for given in (None, policy):
        held = row("s1", number="+14155550101", email="a@mail.test")
        assert listed.admit([held], given) == [held]
    assert hashed == []
    rows = [row(f"s{n}", number="+14155550102", name="x") for n in range(5)]
    assert len(listed.admit(rows)) == 5
    assert hashed == [b"number\0+14155550102"]


def test_a_session_without_an_id_is_kept_out_and_not_listed(layout: Layout) -> None:
    """The list needs an id."""
    listed = Suppression.open(layout, create=True)
    listed.begin({"s1": (0, [])}, [("number", ["+14155550100"])], at=5)
    rows = [Row(None, None, row(None, number=14155550100).body), Row(None, None, b"{}")]
    assert list(listed.admit(rows)) == rows[1:]
    assert listed.joined == set()
    assert list(listed.admit([row("s1")])) == []
    assert content(layout)["sessions"].popitem()[1][0] == 1000


def test_a_run_that_is_stopped_does_not_wait_for_a_page_of_new_customers(layout: Layout) -> None:
    """Each takes 50 ms, a page of them most of a minute."""
    listed = Suppression.open(layout, create=True)
    listed.begin({}, [("number", ["+14155550100"])], at=5)

    def stopped() -> None:
        raise KeyboardInterrupt

    listed.go_on = stopped
    with pytest.raises(KeyboardInterrupt):
        listed.admit([row("s1", number="+14155550101")])
