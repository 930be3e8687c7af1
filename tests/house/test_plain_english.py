"""The pages speak the field's language: no word of a dialect that only this project would understand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
DIALECT = re.compile(
    r"\b(?:says?|said|tells?|told|whom|books?|pieces?|scenes?|notices?|stands?|nobody|a flight|the tab)\b"
    r"|without a word|on its way|\bthe way (?:in|out)\b",
    re.IGNORECASE,
)
"""Metaphors of telling and saying, of standing and of bookkeeping."""
FORMER = re.compile(
    r"\b(?:Word|Piece|Ask|Told|Assignment|Ending|Refusal|View|Judgement|Narrows|Reads|Scene|Again|Selection|PlanRead"
    r"|Body|Tab|Meter|Booking|Flight|Costs|Slots|Ticket|Notice|AllowanceSpent|Listed|Tally|AskedGraph|frame|exit_gate"
    r"|send_subtask|model_of|digest_of|add_new|add_distinct|chain_of|left_of)\b(?!\.md)"
)
"""What has another name now."""


def prose_of(text: str) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def code_of(text: str) -> str:
    """Return the code of a page: its blocks, and what stands between backticks."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_word_of_dialect(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert [hit.group() for hit in DIALECT.finditer(prose_of(text))] == []
    assert [hit.group() for hit in FORMER.finditer(code_of(text))] == []


def test_dialect_is_found_in_prose_and_former_names_in_code() -> None:
    page = "The agent is told `piece`.\n```python\nsend_subtask(a)\n```\n"

    assert DIALECT.findall(prose_of(page)) == ["told"]
    assert FORMER.findall(code_of(page)) == ["send_subtask"]
