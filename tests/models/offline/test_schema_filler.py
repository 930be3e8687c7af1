from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from guardgraph.models.offline.prompt_parser import Excerpt, ParsedPrompt
from guardgraph.models.offline.schema_filler import fill_schema
from guardgraph.state import Evidence, Plan, Reply

PROMPT = ParsedPrompt("What runs?", (Excerpt("A fox runs.", "a.md", "1"), Excerpt("A dog runs too.", "b.md", "2")))


class Colour(Enum):
    RED = "red"


class Claim(BaseModel):
    claim: str
    evidence: Evidence
    confidence: float = Field(ge=0.2, le=1)


class Everything(BaseModel):
    text: str
    short: Annotated[str, Field(max_length=4)]
    count: Annotated[int, Field(gt=3)]
    score: Annotated[float, Field(gt=0, lt=1)]
    sure: bool
    colour: Colour
    kind: Literal["b", "a"]
    claims: list[Claim]
    names: Annotated[list[str], Field(max_length=1)]
    nested: Claim
    maybe: int | None
    free: dict[str, str]


@pytest.mark.parametrize("model", [Everything, Claim, Evidence, Plan, Reply])
@pytest.mark.parametrize("prompt", [PROMPT, ParsedPrompt("What runs?", PROMPT.quotes[:1])])
def test_what_is_filled_fits_its_model(model: type[BaseModel], prompt: ParsedPrompt) -> None:
    schema: dict[str, Any] = convert_to_openai_tool(model)["function"]["parameters"]

    assert isinstance(model.model_validate(fill_schema(schema, prompt)), model)
    assert isinstance(model.model_validate(fill_schema(model.model_json_schema(), prompt)), model)


def test_every_claim_of_a_list_rests_on_its_own_quote() -> None:
    claims = fill_schema(Everything.model_json_schema(), PROMPT)["claims"]

    assert [claim["claim"] for claim in claims] == ["A fox runs.", "A dog runs too."]
    assert [claim["evidence"]["quote"] for claim in claims] == ["A fox runs.", "A dog runs too."]
    assert [claim["evidence"]["source"] for claim in claims] == ["a.md", "b.md"]


def test_bounds_of_numbers_hold() -> None:
    filled = fill_schema(Everything.model_json_schema(), PROMPT)

    assert (filled["count"], filled["score"], filled["short"]) == (4, 0.5, "A fo")


def test_a_worker_that_brings_evidence_delegates_nothing() -> None:
    assert "subtasks" not in fill_schema(Reply.model_json_schema(), PROMPT)
