"""Who imports the patterns pays for LangGraph and for little else."""

from __future__ import annotations

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    """Return the modules that a fresh process has loaded after `statement`, without the standard library."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}


def packages_after(statement: str) -> set[str]:
    """Return the top-level packages of those modules."""
    return {name.partition(".")[0] for name in modules_after(statement)}


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


def test_the_patterns_load_no_module_of_langchain_that_langgraph_does_not_load() -> None:
    added = modules_after("import guardgraph.graphs") - modules_after("import langgraph.graph")

    assert {name for name in added if name.startswith("langchain_core")} == set()


def test_a_team_of_functions_is_built_without_langchains_chat_models() -> None:
    program = """
from guardgraph.graphs import pipeline
from guardgraph.agents import Agent
pipeline([Agent("a", run=lambda request: request.goal)]).compile()
"""
    assert "langchain_core.language_models.chat_models" not in modules_after(program)


def test_the_help_of_the_command_is_printed_without_langgraph() -> None:
    loaded = packages_after("from guardgraph.cli import main; main(['--help'])")

    assert not loaded & {"langgraph", "langchain_core", "sqlalchemy"}
