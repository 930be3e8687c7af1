"""Odd values and hostile texts through the saver: what is read is equal, or was refused when it was written."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bench.faults.kinds import KINDS, REFUSED, TYPES
from bench.faults.values import hostile, outcome_of, same
from guardgraph.state import Unserializable
from guardgraph.storage import SQLSaver
from guardgraph.storage.sql.codec.codec import Codec

DATABASES = ("sqlite_url", "postgres_url", "mariadb_url")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_equal_or_refused_with_the_path_to_it(name: str) -> None:
    codec = Codec(types=TYPES)

    if name in REFUSED:
        with pytest.raises(Unserializable, match=r"cannot store state\.a\[1\](\[1\])?: "):
            codec.dumps({"a": [b"", KINDS[name]]}, where="state")
    else:
        assert same(codec.loads(codec.dumps({"a": [b"", KINDS[name]]})), {"a": [b"", KINDS[name]]})


@pytest.mark.parametrize("database", DATABASES)
def test_hostile_values_and_ids_break_no_database(database: str, request: pytest.FixtureRequest) -> None:
    random, found = Random(7), dict[str, int]()
    long: Any = ["a\0\ud800" * 2**21, {"NaN": float("nan")}]

    with SQLSaver.from_url(request.getfixturevalue(database), types=TYPES) as saver:
        values = [*KINDS.values(), long, *(hostile(random) for _ in range(100))]
        outcomes = [outcome_of(saver, value, f"{number}\u202e'") for number, value in enumerate(values)]

    for outcome in outcomes:
        kind = outcome.partition(":")[0]
        found[kind] = found.get(kind, 0) + 1
    assert {*found} == {"equal", "refused"}, [told for told in outcomes if told[:5] not in {"equal", "refus"}]
    assert outcomes[len(KINDS)] == "equal"
    assert found["equal"] > 100


@pytest.mark.parametrize("thread_id", ["\0", "a\0b", "\ud800", "x" * 256])
@pytest.mark.parametrize("database", DATABASES[:2])
def test_an_id_that_a_database_could_not_hold_is_refused(
    database: str, thread_id: str, request: pytest.FixtureRequest
) -> None:
    with SQLSaver.from_url(request.getfixturevalue(database)) as saver:
        assert outcome_of(saver, 1, thread_id).startswith("refused: ")
