"""Who imports the patterns pays for LangGraph and for little else."""

from __future__ import annotations

import subprocess
import sys

import pytest


def packages_after(statement: str) -> set[str]:
    """Return the top-level packages that a fresh process has loaded after `statement`, without the standard library."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name not in sys.stdlib_module_names}


@pytest.mark.parametrize("folder", ["state", "guards", "nodes", "graphs"])
def test_a_folder_loads_no_package_that_langgraph_does_not_load(folder: str) -> None:
    loaded = packages_after(f"import guardgraph.{folder}") - packages_after("import langgraph.graph")

    assert loaded == {"guardgraph"}


@pytest.mark.parametrize("folder", ["state", "guards"])
def test_words_and_guards_load_pydantic_and_nothing_else(folder: str) -> None:
    loaded = packages_after(f"import guardgraph.{folder}") - packages_after("import pydantic.main, pydantic.types")

    assert loaded == {"guardgraph"}


def test_importing_the_package_alone_loads_nothing_else() -> None:
    assert packages_after("import guardgraph") - packages_after("") == {"guardgraph"}
