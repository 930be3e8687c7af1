"""Pages and code use the field's language: no word of a dialect that only this project would understand."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.house.sources import ROOT, faults_in, package_files

MODULES = package_files()
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


DIALECT_NAMES = re.compile(
    r"(?:^|_)(?:said|told|tells?|asked|pieces?|tab|scenes?|judgement|lanes?|books?|listener|ticket|flights?)(?:_|$)"
)
"""The same in names of classes, functions, arguments, attributes and variables; `in_flight` is the standard term."""
KEPT_NAMES = {"in_flight", "in_flight_attempts", "_lanes", "run_in_lane"}


def prose_of(text: str) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def code_of(text: str) -> str:
    """Return the code of a page: its blocks, and what stands between backticks."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, flags=re.DOTALL))


def dialect_in_page(page: Path) -> list[str]:
    """Return the words of dialect in the prose of a page, and former names in its code."""
    text = page.read_text(encoding="utf-8")
    found = chain(DIALECT.finditer(prose_of(text)), FORMER.finditer(code_of(text)))
    return [hit.group() for hit in found]


def dialect_in_module(path: Path) -> list[str]:
    """Return the words of dialect in the prose of a module, and the names of dialect in it."""
    source = path.read_text(encoding="utf-8")
    words = [hit.group() for text in prose_in(source) for hit in DIALECT.finditer(text)]
    return words + sorted({name for name in names_in(source) if DIALECT_NAMES.search(name)} - KEPT_NAMES)


def test_no_page_has_a_word_of_dialect() -> None:
    assert faults_in(PAGES, dialect_in_page) == {}


def test_dialect_is_found_in_prose_and_former_names_in_code() -> None:
    page = "The agent is told `piece`.\n```python\nsend_subtask(a)\n```\n"

    assert DIALECT.findall(prose_of(page)) == ["told"]
    assert FORMER.findall(code_of(page)) == ["send_subtask"]


def prose_in(source: str) -> Iterator[str]:
    """Yield the docstrings and the comments of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield prose_of(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def names_in(source: str) -> Iterator[str]:
    """Yield what a module gives names to, or calls by name."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case _:
                pass


def test_no_module_has_a_word_of_dialect() -> None:
    assert faults_in(MODULES, dialect_in_module) == {}


def test_dialect_is_found_in_docstrings_comments_and_names() -> None:
    source = 'def _told(x):\n    """Say it."""\n    tab = x.said  # nobody is told\n    return tab\n'

    assert [hit for text in prose_in(source) for hit in DIALECT.findall(text)] == ["Say", "nobody", "told"]
    assert {name for name in names_in(source) if DIALECT_NAMES.search(name)} == {"_told", "tab", "said"}
