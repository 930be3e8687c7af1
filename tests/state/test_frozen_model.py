"""What holds for every word: frozen, closed, and the same again after being stored."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from guardgraph import state
from guardgraph.state import (
    AgentError,
    Allowance,
    BoardEntry,
    Claim,
    Claims,
    ContextItem,
    DelegationScope,
    Delivery,
    EarlyStop,
    Event,
    Evidence,
    FrozenModel,
    Gap,
    GroundedClaim,
    Message,
    Opinion,
    Outcome,
    Plan,
    Reply,
    Request,
    Result,
    ReviewRequest,
    RoutingDecision,
    SideBudget,
    Subtask,
    Task,
    Usage,
    Verdict,
    new_id,
    to_json,
    unshared_copy,
)
from guardgraph.storage.sql.codec.codec import Codec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAME = TEXT.filter(bool)
SAID = TEXT.filter(lambda text: bool(text.strip()))
WHOLE = st.integers(-(2**70), 2**70)
NUMBERS = WHOLE | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
COUNT = st.integers(0, 2**70)
LIMIT = st.none() | COUNT
MONEY = st.none() | st.decimals(0, 10**20, allow_nan=False, allow_infinity=False, places=20)
PART = st.none() | st.floats(0, 1)
MOMENT = st.datetimes(timezones=st.just(UTC))
NAMES = st.lists(TEXT, max_size=3).map(tuple)
MAYBE = st.none() | TEXT


def tuples(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=2).map(tuple)


TASKS = st.builds(
    Task,
    goal=SAID,
    id=NAME,
    inputs=st.dictionaries(TEXT, JSON, max_size=2),
    stakes=st.sampled_from(["low", "normal", "high"]),
    categories=st.frozensets(st.sampled_from(["financial", "safety", "personal", "irreversible"])),
    origin=MAYBE,
)
REVIEWS = st.builds(ReviewRequest, id=NAME, result=TEXT, agent=TEXT, question=NAME)
SUBTASKS = st.builds(
    Subtask,
    id=NAME,
    goal=SAID,
    depends_on=NAMES,
    priority=WHOLE,
    skill=MAYBE,
    inputs=st.dictionaries(TEXT, JSON, max_size=2),
    share=st.none() | st.floats(0, 1, exclude_min=True),
)
CLAIMS = st.builds(
    Claim,
    subject=NAME,
    attribute=NAME,
    value=st.booleans() | st.integers() | TEXT | st.floats(allow_nan=False, allow_infinity=False),
    several=st.booleans(),
)
EVIDENCE = st.builds(Evidence, source=NAME, quote=NAME, locator=TEXT)
MESSAGES = st.builds(
    Message,
    recipients=st.lists(NAME, min_size=1, max_size=3, unique=True).map(tuple).filter(lambda names: "*" not in names),
    content=JSON,
    performative=st.sampled_from(["inform", "ask", "propose", "bid", "award"]),
    in_reply_to=MAYBE,
    commits=st.dictionaries(TEXT, st.decimals(0, 10**20, allow_nan=False, allow_infinity=False), max_size=2),
    evidence=tuples(EVIDENCE),
    id=TEXT,
)
EVENTS = st.builds(
    Event, type=NAME, data=JSON, subject=TEXT, source=TEXT, id=TEXT, time=st.none() | MOMENT, caused_by=MAYBE
)
ALLOWANCES = st.builds(
    Allowance,
    tokens=LIMIT,
    usd=MONEY,
    calls=LIMIT,
    subtasks=LIMIT,
    messages=LIMIT,
    depth=LIMIT,
    deadline=st.none() | MOMENT,
)
SIDE_BUDGETS = st.builds(
    SideBudget,
    per=st.sampled_from(["run", "agent", "task", "thread", "tenant"]),
    window=st.sampled_from([None, "minute", "hour", "day", "month", 5_400]),
    cap=ALLOWANCES,
    account=TEXT,
)
USAGES = st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, usd=MONEY, calls=COUNT, microseconds=COUNT)
GAPS = st.builds(Gap, subtask=TEXT, agent=MAYBE, reason=TEXT, guard=MAYBE, path=NAMES)
FAULTS = st.builds(
    AgentError,
    kind=st.sampled_from(["raised", "timeout", "deadline", "invalid", "stopped", "skipped", "team"]),
    message=TEXT,
    type=TEXT,
)
PIECES = st.builds(
    ContextItem,
    kind=st.sampled_from(["result", "gap", "worker", "background", "constraint", "decision"]),
    title=TEXT,
    sender=TEXT,
    value=JSON,
    evidence=tuples(EVIDENCE),
    subtask=MAYBE,
)
STATUSES = st.sampled_from(["completed", "degraded", "escalated", "refused", "failed"])
WORDS: dict[type[FrozenModel], st.SearchStrategy[Any]] = {
    AgentError: FAULTS,
    Allowance: ALLOWANCES,
    BoardEntry: st.builds(
        BoardEntry,
        board=NAME,
        key=NAME,
        value=JSON,
        kind=st.sampled_from(["decision", "constraint", "note"]),
        version=st.integers(1, 2**70),
        number=st.integers(1, 2**70),
        author=NAME,
        at=MOMENT,
        run_id=MAYBE,
        is_deleted=st.booleans(),
    ),
    Claim: CLAIMS,
    Claims: st.builds(Claims, claims=tuples(CLAIMS), reasoning=TEXT),
    GroundedClaim: st.builds(
        GroundedClaim,
        subject=NAME,
        attribute=NAME,
        value=st.integers() | TEXT,
        several=st.booleans(),
        critical=st.booleans(),
        evidence=tuples(EVIDENCE),
    ),
    EarlyStop: st.builds(EarlyStop, status=STATUSES, stopped_by=MAYBE, reason=TEXT),
    Evidence: EVIDENCE,
    Gap: GAPS,
    Opinion: st.builds(Opinion, approved=st.booleans(), reason=TEXT, confidence=PART),
    ReviewRequest: REVIEWS,
    Outcome: st.builds(
        Outcome,
        status=STATUSES,
        value=JSON,
        evidence=tuples(EVIDENCE),
        confidence=PART,
        gaps=tuples(GAPS),
        stopped_by=MAYBE,
        dissent=tuples(JSON),
        usage=USAGES,
    ),
    ContextItem: PIECES,
    Message: MESSAGES,
    Event: EVENTS,
    Delivery: st.builds(
        Delivery,
        event=TEXT,
        subscriber=TEXT,
        status=st.sampled_from(["handled", "parked", "filtered", "replayed"]),
        result=MAYBE,
        error=TEXT,
    ),
    Plan: st.builds(
        Plan,
        subtasks=st.lists(SUBTASKS, max_size=3, unique_by=lambda one: one.id).map(
            lambda some: tuple(one.model_copy(update={"depends_on": ()}) for one in some)
        ),
        reasoning=TEXT,
    ),
    DelegationScope: st.builds(
        DelegationScope,
        run_id=TEXT,
        account=TEXT,
        spending_account=TEXT,
        path=NAMES,
        chain=NAMES,
        depth=COUNT,
        allowance=ALLOWANCES,
        reserve=st.floats(0, 1),
        budgets=tuples(SIDE_BUDGETS),
        started=MOMENT,
    ),
    SideBudget: SIDE_BUDGETS,
    Reply: st.builds(
        Reply,
        value=JSON,
        evidence=tuples(EVIDENCE),
        confidence=PART,
        reasoning=TEXT,
        subtasks=tuples(SUBTASKS),
        messages=tuples(MESSAGES),
        events=tuples(EVENTS),
    ),
    Request: st.builds(
        Request,
        task=TASKS,
        subtask=st.none() | SUBTASKS,
        context=tuples(PIECES),
        messages=tuples(MESSAGES),
        allowance=ALLOWANCES,
        path=NAMES,
        round=WHOLE,
        attempt=st.integers(1, 2**70),
        idempotency_key=TEXT,
        feedback=MAYBE,
        compensates=MAYBE,
        review=st.none() | REVIEWS,
    ),
    Result: st.builds(
        Result,
        id=TEXT,
        agent=TEXT,
        version=TEXT,
        subtask=MAYBE,
        round=WHOLE,
        attempt=WHOLE,
        status=st.sampled_from(["ok", "partial", "failed", "timeout", "skipped", "provisional"]),
        review=MAYBE,
        value=JSON,
        evidence=tuples(EVIDENCE),
        confidence=PART,
        reasoning=TEXT,
        subtasks=tuples(SUBTASKS),
        messages=tuples(MESSAGES),
        events=tuples(EVENTS),
        gaps=tuples(GAPS),
        stopped_by=MAYBE,
        usage=USAGES,
        error=st.none() | FAULTS,
    ),
    RoutingDecision: st.builds(
        RoutingDecision,
        worker=MAYBE,
        rung=st.sampled_from(["rule", "classifier", "model", "fallback"]),
        reason=TEXT,
        rule=MAYBE,
        matched=TEXT,
        terms=st.dictionaries(TEXT, st.floats(0, 9), max_size=2),
        scores=st.dictionaries(TEXT, st.floats(0, 1), max_size=2),
        confidence=st.none() | st.floats(0, 1),
        problems=NAMES,
        gaps=tuples(GAPS),
        run_id=TEXT,
    ),
    Subtask: SUBTASKS,
    Task: TASKS,
    Usage: USAGES,
    Verdict: st.builds(
        Verdict,
        guard=TEXT,
        gate=st.sampled_from(["admission", "dispatch", "handoff", "round", "exit"]),
        subject=TEXT,
        action=st.sampled_from(["pass", "alert", "trip"]),
        reason=TEXT,
        measured=JSON,
        limit=JSON,
    ),
}
EXPORTED = {name: getattr(state, name) for name in state.__all__}
MODELS = [
    kind
    for kind in EXPORTED.values()
    if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind is not FrozenModel
]
CODEC = Codec()
every_word = pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)


def one_of(kind: type[FrozenModel]) -> FrozenModel:
    needed = {
        "id": "i",
        "goal": "g",
        "source": "s",
        "quote": "q",
        "subtask": "a",
        "reason": "r",
        "kind": "team" if kind is AgentError else "gap",
        "message": "m",
        "status": "ok" if kind is Result else "handled" if kind is Delivery else "failed",
        "title": "t",
        "run_id": "r",
        "account": "a",
        "per": "agent",
        "cap": {"tokens": 5},
        "spending_account": "w",
        "started": "2030-01-01T00:00:00Z",
        "task": {"goal": "g"},
        "agent": "a",
        "guard": "g",
        "gate": "exit",
        "rung": "rule",
        "subject": "s",
        "attribute": "a",
        "value": "v",
        "recipients": ["b"],
        "board": "b",
        "key": "k",
        "version": 1,
        "number": 1,
        "author": "a",
        "at": "2030-01-01T00:00:00Z",
        "type": "order.placed",
        "event": "shop/7",
        "subscriber": "b",
        "approved": True,
        "result": "r",
        "question": "q",
    }
    return kind.model_validate({name: needed[name] for name, field in kind.model_fields.items() if field.is_required()})


def test_every_exported_model_is_tried_here() -> None:
    tried = {kind for kind in MODELS if issubclass(kind, FrozenModel)} - {state.RunEvent, state.StoredEvent}
    assert tried == set(WORDS), "events are stored as JSON"


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_every_exported_model_is_frozen_and_closed(kind: type[BaseModel]) -> None:
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"


@every_word
def test_a_word_does_not_change(kind: type[FrozenModel]) -> None:
    word = one_of(kind)

    for field in kind.model_fields:
        with pytest.raises(ValidationError, match="Instance is frozen"):
            setattr(word, field, getattr(word, field))


@every_word
def test_an_unknown_field_is_refused_by_name(kind: type[FrozenModel]) -> None:
    known = one_of(kind).model_dump()

    with pytest.raises(ValidationError, match=r"surprise\n  Extra inputs are not permitted"):
        kind.model_validate({**known, "surprise": 1})


@every_word
def test_every_field_says_what_it_is(kind: type[FrozenModel]) -> None:
    source = inspect.getsource(kind)

    for field in kind.__annotations__:
        after = source.split(f"\n    {field}: ", 1)[1].split("\n", 1)[1]
        assert after.lstrip().startswith('"""'), f"{kind.__name__}.{field} has no docstring"


@every_word
def test_a_word_has_a_version_that_is_not_a_field(kind: type[FrozenModel]) -> None:
    assert kind.schema_version >= 1
    assert "schema_version" not in kind.model_fields


@every_word
@settings(max_examples=40)
@given(data=st.data())
def test_a_word_comes_back_from_json_as_it_was(kind: type[FrozenModel], data: st.DataObject) -> None:
    word = data.draw(WORDS[kind])

    assert kind.model_validate_json(word.model_dump_json()) == word
    assert kind.model_validate(to_json(word)) == word


@every_word
@settings(max_examples=40)
@given(data=st.data())
def test_a_word_comes_back_from_the_store_as_it_was(kind: type[FrozenModel], data: st.DataObject) -> None:
    word = data.draw(WORDS[kind])
    again = CODEC.loads(CODEC.dumps(word))

    assert type(again) is kind
    assert again == word
    assert again.model_dump_json() == word.model_dump_json()


@every_word
@settings(max_examples=10)
@given(data=st.data())
def test_a_word_made_without_validation_is_stored_all_the_same(kind: type[FrozenModel], data: st.DataObject) -> None:
    word = data.draw(WORDS[kind])
    unchecked = kind.model_construct(**{name: getattr(word, name) for name in kind.model_fields})

    assert CODEC.loads(CODEC.dumps(unchecked)) == word


def test_numbers_that_json_lacks_are_stored_but_dumped_as_null() -> None:
    word = Result(id="r", agent="a", value={"most": math.inf, "none": math.nan})
    again = CODEC.loads(CODEC.dumps(word))

    assert again.value["most"] == math.inf
    assert math.isnan(again.value["none"])
    assert json.loads(word.model_dump_json())["value"] == {"most": None, "none": None}


def test_half_a_character_is_refused_in_text_and_stored_in_values() -> None:
    half = "\ud800"
    word = Result(id="r", agent="a", value=half)

    assert CODEC.loads(CODEC.dumps(word)) == word
    with pytest.raises(PydanticSerializationError, match="surrogates not allowed"):
        word.model_dump_json()
    with pytest.raises(ValidationError, match=r"goal\n  Input should be a valid string, unable to parse raw data"):
        Task(goal=half)


def test_ids_are_fresh_and_hexadecimal() -> None:
    ids = {new_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    at: date


class Report(BaseModel):
    title: str
    price: Decimal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("text", "text"),
        (7, 7),
        (True, True),
        (1.5, 1.5),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "red"),
        (datetime(2030, 1, 2, tzinfo=UTC), "2030-01-02T00:00:00Z"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        ({"a": (1,), 2: None}, {"a": [1], "2": None}),
        (Point(1, date(2030, 1, 2)), {"x": 1, "at": "2030-01-02"}),
        (Report(title="t", price=Decimal(2)), {"title": "t", "price": "2"}),
        ([Report(title="t", price=Decimal(2))], [{"title": "t", "price": "2"}]),
    ],
)
def test_values_become_plain_json(value: object, expected: object) -> None:
    found = to_json(value)

    assert found == expected
    assert type(found) is type(expected)
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "value", [print, object(), [object()], {"f": print}], ids=["function", "object", "list", "dict"]
)
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(PydanticSerializationError, match="Unable to serialize unknown type"):
        to_json(value)
    assert issubclass(PydanticSerializationError, ValueError)


def _changeable(value: object) -> dict[int, object]:
    """Return what lies in a value and can be changed, by its identity."""
    parts: list[Any] = [value]
    if isinstance(value, BaseModel):
        parts = [*vars(value).values()]
    elif isinstance(value, dict):
        parts = [*value.values()]
    elif isinstance(value, list | tuple | set):
        parts = [*value]
    else:
        return {}
    found = {id(value): value} if isinstance(value, dict | list | set) else {}
    return found | {key: one for part in parts for key, one in _changeable(part).items()}


@every_word
@settings(max_examples=20)
@given(data=st.data())
def test_an_unshared_copy_is_equal_and_shares_nothing_that_can_be_changed(
    kind: type[FrozenModel], data: st.DataObject
) -> None:
    word = data.draw(WORDS[kind])

    copied = unshared_copy(word)

    assert copied == word
    assert type(copied) is kind
    assert _changeable(copied).keys().isdisjoint(_changeable(word))
    assert _changeable(word) or copied is word


@every_word
def test_an_unshared_copy_has_no_other_fields_set(kind: type[FrozenModel]) -> None:
    word = one_of(kind)

    assert unshared_copy(word).model_fields_set == word.model_fields_set


def test_an_unshared_copy_shares_no_object_of_an_unknown_kind() -> None:
    given = {"names": {"a"}, "pairs": ([1], "b")}

    copied = unshared_copy(given)

    assert copied == given
    assert _changeable(copied).keys().isdisjoint(_changeable(given))
