"""`typing.TypedDict` breaks JSON schemas on Python 3.11, so every state uses the one of typing_extensions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.house.imports import imports_of
from tests.house.sources import module_of, python_files, tree_of

FILES = python_files("guardgraph", "tests", "examples", "bench")


def uses_of_the_wrong_one(tree: ast.AST) -> list[int]:
    """Return the lines where `typing.TypedDict` is imported or named."""
    imported = [one.line for one in imports_of(tree, "m") if one.name == "typing.TypedDict"]
    named = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"typing.TypedDict", "t.TypedDict"}
    ]
    return imported + named


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_typed_dict_is_of_typing_extensions(path: Path) -> None:
    assert not uses_of_the_wrong_one(tree_of(path))


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from typing import Any, TypedDict", 1),
        ("import typing\nclass S(typing.TypedDict): pass", 1),
        ("from typing_extensions import TypedDict", 0),
    ],
)
def test_the_wrong_one_is_found(source: str, count: int) -> None:
    assert len(uses_of_the_wrong_one(ast.parse(source))) == count
