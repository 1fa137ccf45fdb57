"""The joining of identities on random and on hostile data, compared with union-find in Python."""

import json
import random
from collections.abc import Callable
from math import log2
from typing import Any

import pytest

from identity_model import KINDS, Joined, fill
from selection import first
from sql_rows import Rows

Sessions = list[dict[str, str]]


def check(rows: Rows, sessions: Sessions) -> Joined:
    """Fill in the sessions; the views must give the same customers as the model."""
    fill(rows, sessions)
    model = Joined(sessions)
    found = rows.run("SELECT identity, customer_key, linked_identity_count, shared FROM customer_identities")
    assert len(found) == len(model.parents)
    assert set(found) == model.identities()
    keys = dict(rows.run("SELECT session_id, customer_key FROM customer_journey"))
    assert [keys.get(f"s{number}") for number in range(len(sessions))] == model.customers()
    return model


def rounds(rows: Rows) -> float:
    """How often the labels of all identities were computed."""
    (plan,) = rows.run("EXPLAIN (ANALYZE, FORMAT json) FROM customer_identities")
    nodes: list[dict[str, Any]] = json.loads(plan[1])["operator"]
    computed: list[int] = []
    while nodes:
        node = nodes.pop()
        nodes += node.get("children", [])
        if node["type"] == "RECURSIVE_CTE":
            computed.append(node["intermediate_rows"])
    ((identities,),) = rows.run("SELECT COUNT(*) FROM customer_identities")
    return sum(computed) / int(identities)


def chain(ids: list[int], numbers: list[int]) -> Sessions:
    """Each number occurs with an id and with the next one."""
    return [
        {"customer_id": f"v{one:06}", "customer_number": f"v{number:06}"}
        for at, number in enumerate(numbers)
        for one in ids[at : at + 2]
    ]


def in_order(length: int) -> list[int]:
    """The first comes first."""
    return list(range(length))


def backwards(length: int) -> list[int]:
    """The first comes last."""
    return list(range(length))[::-1]


def shuffled(length: int) -> list[int]:
    """In any order."""
    return random.Random(length).sample(range(length), length)


def from_both_ends(length: int) -> list[int]:
    """The smallest beside the greatest, and so on."""
    return [at // 2 if at % 2 == 0 else length - 1 - at // 2 for at in range(length)]


def bits_reversed(length: int) -> list[int]:
    """Neighbours differ in their highest bits, so that there is a local minimum everywhere."""
    width = (length - 1).bit_length()
    turned = (int(f"{at:0{width}b}"[::-1], 2) for at in range(2**width))
    return [at for at in turned if at < length]


@pytest.mark.parametrize("order", first([shuffled, in_order, backwards, from_both_ends, bits_reversed]))
def test_a_long_chain_is_one_customer_after_few_rounds(rows: Rows, order: Callable[[int], list[int]]) -> None:
    """The rounds grow with the logarithm of the length of a chain, in whatever order its links are sorted."""
    length = 3_000
    model = check(rows, chain(order(length), order(length - 1)[::-1]))
    assert len({model.root(one) for one in model.parents}) == 1
    assert rounds(rows) <= 1.5 * log2(2 * length)


def test_a_chain_breaks_where_a_number_is_shared(rows: Rows) -> None:
    """The number in the middle occurs with more ids than the bound allows: there are two customers, and those ids."""
    sessions = chain(in_order(21), in_order(20))
    sessions += [{"customer_id": f"guest{at}", "customer_number": "v000010"} for at in range(4)]
    model = check(rows, sessions)
    assert len(model.shared) == 1
    assert rows.only("SELECT COUNT(*) AS n FROM customers WHERE session_count > 1")["n"] == 2


@pytest.mark.parametrize("leaves", [5, 6])
def test_a_star_is_joined_up_to_the_bound(rows: Rows, leaves: int) -> None:
    """One number with five external ids is one customer; with six it joins nobody."""
    model = check(
        rows,
        [
            {"customer_number": "hub", "customer_external_id": f"e{at}", "customer_email": f"m{at}"}
            for at in range(leaves)
        ],
    )
    assert len({model.root(one) for one in model.parents}) == (1 if leaves == 5 else 7)


def test_cliques_stay_apart(rows: Rows) -> None:
    """People whose every session carries all five identities have nothing to do with each other."""
    model = check(rows, [{column: f"{column}{at % 400}" for column in KINDS} for at in range(1_200)])
    assert len({model.root(one) for one in model.parents}) == 400


def test_a_grid_is_one_customer(rows: Rows) -> None:
    """There are many ways from each identity to each other one."""
    side = 30
    sessions = []
    for x in range(side):
        for y in range(side):
            here = {"customer_id": f"p{x}q{y}"}
            sessions += [here | {"customer_number": f"p{x}q{y}"}]
            sessions += [here | {"customer_number": f"p{(x + 1) % side}q{y}"}]
            sessions += [here | {"customer_number": f"p{x}q{(y + 1) % side}"}]
    model = check(rows, sessions)
    assert len({model.root(one) for one in model.parents}) == 1


@pytest.mark.parametrize("seed", first(range(40), 4))
def test_random_sessions_give_the_customers_of_union_find(rows: Rows, seed: int) -> None:
    """From few identities that all meet to many that never do, with shared ones in between."""
    rng = random.Random(seed)
    values = rng.choice((4, 30, 200, 1_000))
    carried = rng.choice((0.3, 0.5, 0.9))
    popular = rng.choice((1, 2, 4))  # the greater, the more often the first values occur
    sessions = [
        {column: f"v{int(rng.random() ** popular * values)}" for column in KINDS if rng.random() < carried}
        for _ in range(400)
    ]
    check(rows, sessions)
