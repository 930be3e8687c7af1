"""The examples in docstrings are run."""

from __future__ import annotations

import doctest
import importlib
import types
from pathlib import Path

import pytest

from tests.house.sources import is_migration, module_of, package_files

SHOWN = [path for path in package_files() if not is_migration(path) and ">>> " in path.read_text(encoding="utf-8")]


def failures_of(module: types.ModuleType) -> int:
    """Run the examples of `module` and count those that say something else."""
    return doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed


@pytest.mark.parametrize("path", SHOWN, ids=module_of)
def test_the_examples_of_a_module_say_what_happens(path: Path) -> None:
    assert failures_of(importlib.import_module(module_of(path))) == 0


def test_an_example_that_says_something_else_is_found() -> None:
    assert failures_of(types.ModuleType("sample", ">>> 1 + 1\n3\n")) == 1
