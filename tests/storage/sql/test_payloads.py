"""Hostile texts as tenants, as all kinds of ids and in filters: none of them is SQL, and none meets another."""

# ruff: noqa: RUF001 - texts that look alike are what is tested

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointMetadata
from sqlalchemy import Engine, inspect

from guardgraph.state import BadInput, Task
from guardgraph.storage import RunStore, SQLSaver
from guardgraph.storage.sql.checkpoints.loading import namespaces_of
from guardgraph.storage.sql.engine import close_engine, engine_of
from guardgraph.storage.sql.tables import metadata
from tests.storage.sql.leased import no_lease
from tests.storage.sql.stored import checkpoint_of, config_of, id_of

SQL = (
    *(
        "'",
        '"',
        "''",
        '""',
        "`",
        "\\",
        "\\'",
        "'\\",
        "\\\\",
        ";",
        "--",
        "#",
        "/*",
        "*/",
        "/**/",
        "'--",
        "')--",
        "');--",
    ),
    *("' OR '1'='1", '" OR "1"="1', "' OR 1=1 --", "' OR 1=1 #", "1 OR 1=1", "x' OR thread_id LIKE '%", "' OR ''='"),
    *("'; DROP TABLE guardgraph_checkpoint; --", '"; DROP TABLE guardgraph_run; --', "1; DELETE FROM guardgraph_blob"),
    *(
        "'; UPDATE guardgraph_lease SET epoch = 0; --",
        "' UNION SELECT * FROM guardgraph_namespace --",
        "x'); COMMIT; --",
    ),
    *(
        "'; SELECT pg_sleep(9); --",
        "' AND SLEEP(9) #",
        "'||pg_sleep(9)||'",
        "' AND load_extension('x') --",
        "'+'",
        "'||'",
    ),
    *(
        "'; ATTACH DATABASE 'x' AS x; --",
        "' INTO OUTFILE 'x",
        "@@version",
        "@x",
        "x'41'",
        "0x41",
        "U&'\\0041'",
        "$$",
        "$$x$$",
    ),
)
PARAMETERS = (
    "?",
    "%s",
    "%(thread_id)s",
    "%%",
    "%%s",
    ":thread_id",
    ":x",
    "$1",
    "@p1",
    "{thread_id}",
    "{}",
    "{0}",
    "%d",
    "%n",
)
WILDCARDS = ("%", "_", "*", "a%", "%a", "_a", "a_", "a\\%", "a\\_", "[a]", "[^a]", "^", "$", ".*", "a|b", "ab%", "a?")
PATHS = (
    *(
        "$.a",
        "$[0]",
        "a.b",
        "a[0]",
        '$."a"',
        "a->>'b'",
        "a->b",
        "a#>>b",
        '{"a": 1}',
        '["a"]',
        "$**",
        "..",
        "../a",
        "a/b",
        "/",
    ),
    *(
        "__proto__",
        "__class__",
        "constructor",
        "a b",
        "a:b",
        "a|b",
        "a=b",
        "run_id",
        "tenant",
        "thread_id",
        "null",
        "None",
    ),
)
NUMBERS = (
    "0",
    "00",
    "1",
    "01",
    "1.0",
    "1e0",
    "+1",
    "-1",
    "0x1",
    "true",
    "True",
    "false",
    "NaN",
    "Infinity",
    "1_0",
    "٣",
)
SPACES = (
    "a",
    "a ",
    " a",
    "a  ",
    "a\t",
    "a\n",
    "a\r\n",
    "a\v",
    "a\u00a0",
    "a\u2003",
    "a\u3000",
    " ",
    "\t",
    "\n",
    "\u200b",
    "a\u200b",
)
CASES = ("A", "aB", "AB", "ab", "Ab", "ß", "ss", "SS", "ẞ", "İ", "i", "I", "ı", "ſ", "s", "ς", "σ", "Σ", "K", "k", "K")
FORMS = (
    *(
        "é",
        "e\u0301",
        "É",
        "e",
        "ñ",
        "n\u0303",
        "Å",
        "A\u030a",
        "\u212b",
        "ﬁ",
        "fi",
        "Ａ",
        "①",
        "ö",
        "o\u0308",
        "ḍ̇",
        "ḍ̇",
    ),
    *(
        "각",
        "\u1100\u1161\u11a8",
        "क़",
        "क\u093c",
        "が",
        "か\u3099",
        "𝐀",
        "ｱ",
        "ア",
        "😀",
        "😀\ufe0f",
        "👨\u200d👩",
        "\u202ea",
        "\ufeffa",
    ),
)
CONTROLS = tuple(f"a{chr(code)}" for code in (1, 7, 8, 11, 12, 26, 27, 31, 127, 0x85, 0x2028, 0xFFFF, 0x10FFFF))
LONG = ("x" * 255, "x" * 254 + "y", "x" * 254, "é" * 255, "😀" * 255, "'" * 255, "x" * 254 + " ")
REFUSED = (
    "\0",
    "a\0",
    "a\0b",
    "\0a",
    "\ud800",
    "a\udfff",
    "\udc00\ud800",
    "x" * 256,
    "😀" * 256,
    "x" * 100_000,
    "'" * 5_000,
)
"""What is no id; in a filter each is a text as any other."""
IDS = tuple(dict.fromkeys((*SQL, *PARAMETERS, *WILDCARDS, *PATHS, *NUMBERS, *SPACES, *CASES, *FORMS, *CONTROLS, *LONG)))
TENANT, NOW, TASK = "payloads", datetime(2030, 1, 1, tzinfo=UTC), Task(goal="x")


@pytest.fixture(scope="module")
def engine(kept_url: str) -> Iterator[Engine]:
    engine = engine_of(kept_url)
    yield engine
    close_engine(engine)


@pytest.fixture(scope="module")
def saver(engine: Engine) -> Iterator[SQLSaver]:
    """Give a saver of a tenant that has used every payload for everything."""
    with SQLSaver(engine, tenant=TENANT) as saver:
        names = {payload: payload for payload in IDS} | {text: f"of {at}" for at, text in enumerate(REFUSED)}

        def fill(item: tuple[str, str]) -> None:
            payload, name = item
            saver.put_writes(put(saver, name, fact=payload), [(payload, payload)], name)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(fill, names.items()))
        yield saver


def put(saver: SQLSaver, payload: str, *, fact: str | None = None, namespace: str | None = None) -> RunnableConfig:
    """Store a checkpoint whose thread, namespace, id, run and facts are a payload."""
    text = payload if fact is None else fact
    facts: CheckpointMetadata = {"source": "loop", "step": 0, "run_id": payload, "topic": text, f" {text}": "key"}  # type: ignore[typeddict-unknown-key]
    checkpoint = {**checkpoint_of({"x": payload}), "id": payload}
    place = config_of(payload, namespace=payload if namespace is None else namespace)
    return saver.put(place, checkpoint, facts, {"x": 1})  # type: ignore[arg-type]


def fact_of(found: Any) -> Any:
    return found.metadata["topic"]


def ids_of(saver: SQLSaver, config: RunnableConfig | None, **query: Any) -> list[str]:
    return [id_of(item.config) for item in saver.list(config, **query)]


def test_there_are_enough_payloads_and_no_two_are_one() -> None:
    assert len(IDS) >= 200
    assert len({*IDS, *REFUSED}) == len(IDS) + len(REFUSED)


def test_every_payload_finds_itself_alone(engine: Engine, saver: SQLSaver) -> None:
    for payload in IDS:
        found = saver.get_tuple(config_of(payload, namespace=payload, checkpoint_id=payload))
        assert found is not None, ascii(payload)
        assert found.checkpoint["channel_values"] == {"x": payload}
        assert found.pending_writes == [(payload, payload, payload)]
        assert saver.get_tuple(config_of(payload)) is None
        assert namespaces_of(engine, payload, tenant=TENANT) == [payload]
    assert {*inspect(engine).get_table_names()} >= {*metadata.tables}


def test_every_payload_in_a_filter_finds_its_own_facts(saver: SQLSaver) -> None:
    for payload, other in pairwise(IDS):
        whole = config_of(payload, namespace=None)
        for query, found in (({"topic": payload, f" {payload}": "key"}, [payload]), ({"topic": other}, [])):
            assert ids_of(saver, whole, filter=query) == found, ascii(payload)
    for number, payload in enumerate(REFUSED):
        for query in ({"topic": payload}, {f" {payload}": "key"}):
            assert ids_of(saver, None, filter=query) == [f"of {number}"], ascii(payload)


def test_a_payload_as_a_tenant_sees_its_own_threads(engine: Engine) -> None:
    tenants = {f"of {payload}"[-255:]: payload for payload in IDS}
    savers = {payload: SQLSaver(engine, tenant=tenant) for tenant, payload in tenants.items()}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: put(item[1], "1", fact=item[0], namespace=""), savers.items()))

    assert {payload: [fact_of(item) for item in saver.list(None)] for payload, saver in savers.items()} == {
        payload: [payload] for payload in savers
    }
    assert len(savers) > 200


def test_runs_of_payloads_are_apart(engine: Engine) -> None:
    rows = RunStore(engine, tenant=TENANT)

    def create(payload: str) -> None:
        rows.create(payload, payload, payload, {payload: payload}, TASK, NOW, claim=no_lease)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, IDS))

    for payload in IDS:
        row = rows.latest(payload)
        assert row is not None
        assert (row.run_id, row.thread_id, row.graph, row.arguments) == (payload, payload, payload, {payload: payload})
    assert sorted(row.run_id for row in rows.unfinished()) == sorted(IDS)


def test_deleting_by_a_payload_deletes_that_alone(saver: SQLSaver) -> None:
    threads, runs = IDS[::10], IDS[5::10]
    for payload in threads:
        saver.delete_thread(payload)
    saver.delete_for_runs(runs)

    assert {name for name in ids_of(saver, None) if not name.startswith("of ")} == {*IDS} - {*threads, *runs}


@pytest.mark.parametrize("payload", REFUSED, ids=lambda payload: ascii(payload[:3]) + str(len(payload)))
def test_what_is_no_id_is_refused_wherever_it_is_given(engine: Engine, saver: SQLSaver, payload: str) -> None:
    rows, config = RunStore(engine, tenant=TENANT), config_of("t")
    for call in (
        lambda: put(saver, payload, namespace=""),
        lambda: saver.put_writes(config_of("t", checkpoint_id="1"), [("x", 1)], payload),
        lambda: saver.get_tuple(config_of(payload)),
        lambda: saver.get_tuple(config_of("t", checkpoint_id=payload)),
        lambda: [*saver.list(config_of(payload))],
        lambda: [*saver.list(None, before=config_of("t", checkpoint_id=payload))],
        lambda: saver.delete_thread(payload),
        lambda: saver.delete_for_runs([payload]),
        lambda: saver.copy_thread("t", payload),
        lambda: saver.prune([payload]),
        lambda: saver.verify(payload),
        lambda: saver.repair(payload),
        lambda: SQLSaver(engine, tenant=payload),
        lambda: rows.create(payload, "t", "g", {}, TASK, NOW, claim=no_lease),
        lambda: rows.latest(payload),
        lambda: rows.get(payload),
    ):
        with pytest.raises(BadInput, match=r"holds a NUL|is not valid Unicode|characters, at most 255"):
            call()
    assert ids_of(saver, config) == []
