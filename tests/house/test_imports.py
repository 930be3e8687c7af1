from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

from tests.house.imports import Import, imports_of
from tests.house.sources import FOLDERS, PACKAGE, faults_in, module_of, package_files, settings, tree_of

PRIVATE = re.compile(r"langgraph(\.\w+)*\.(_\w+|pregel\.[a-z_]\w*)|langchain_core(\.\w+)*\._\w+")
"""LangGraph's private modules and names; `langgraph.pregel` is public, the modules below it are not."""
PRIVATE_ALLOWED = {
    "langgraph.checkpoint.serde.types._DeltaSnapshot": "a saver must store it, and it has no public name",
}
"""What is private and used all the same, with the reason."""
LAZY = {
    "alembic": "few processes migrate, and it doubles the import time of the saver",
    "genai_prices": "a table of half a megabyte, needed once a model was called",
    "guardgraph.agents.model_agent": "loads LangChain's chat models, needed once an agent has a model",
    "guardgraph.agents.emit_event": "loads LangChain's tools, needed once a subscriber is a model",
    "guardgraph.agents.peer_tools": "loads LangChain's tools, needed once a peer is a model",
    "guardgraph.models.identity": "loads LangChain's chat models, needed once a model is given as an object",
    "langchain": "extra `agents`",
    "langgraph.prebuilt": "loads LangChain's tools, needed once a guard refuses the call of one",
    "langgraph.checkpoint.sqlite": "a package of its own, which the tests install",
    "langchain_core.tracers": "loads the chat models; LangChain itself loads it once something is called",
    "langgraph.graph.message": "the words load pydantic alone; who has messages has loaded LangGraph",
    "numpy": "extra `routing`",
    "psycopg": "extra `postgres`",
    "pymysql": "extra `mysql`",
    "quickjs": "extra `draw`",
    "pypdf": "only where a document is a PDF",
    "sklearn": "extra `routing`, and slow to import",
}
"""All that may be imported inside a function, with the reason."""


def folder_of(module: str) -> str | None:
    """Return the folder of the package that `module` belongs to, or None for the package itself and for others."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "guardgraph" else None


def wrong_way(module: str, found: list[Import]) -> list[str]:
    """Name the imports of `module` that go against the one direction."""
    home = folder_of(module)
    if home == "__main__":  # the way into the command
        home = FOLDERS[-1]
    below = FOLDERS[: FOLDERS.index(home) + 1] if home in FOLDERS else ()
    return [
        f"{module}:{one.line} imports {one.name}"
        for one in found
        if one.name.partition(".")[0] == "guardgraph" and folder_of(one.name) not in below
        if one.name != "guardgraph.__version__"
    ]


def private(module: str, found: list[Import]) -> list[str]:
    """Name the imports of `module` that reach into LangGraph's private modules."""
    return [
        f"{module}:{one.line} imports {one.name}"
        for one in found
        if (hit := PRIVATE.match(one.name)) and hit.group() not in PRIVATE_ALLOWED
    ]


def hidden(module: str, found: list[Import]) -> list[str]:
    """Name the imports inside functions of `module` that are not in the table."""
    return [
        f"{module}:{one.line} imports {one.name} inside a function"
        for one in found
        if one.lazy and not any(f"{one.name}.".startswith(f"{allowed}.") for allowed in LAZY)
    ]


def undeclared(module: str, found: list[Import], declared: frozenset[str]) -> list[str]:
    """Name the eager imports of `module` that a core install does not bring."""
    roots = installed_roots()
    return [
        f"{module}:{one.line} imports {one.name}"
        for one in found
        if not one.lazy
        and not one.typing_only
        and (root := one.name.partition(".")[0]) not in sys.stdlib_module_names
        and root != "guardgraph"
        and not declared & {distribution.lower().replace("_", "-") for distribution in roots.get(root, ())}
    ]


@cache
def installed_roots() -> Mapping[str, list[str]]:
    return packages_distributions()


def core_distributions() -> frozenset[str]:
    names = (re.match(r"[\w.-]+", line) for line in settings()["project"]["dependencies"])
    return frozenset(name.group().lower().replace("_", "-") for name in names if name)


def of(path: Path) -> list[Import]:
    return imports_of(tree_of(path), module_of(path), is_package=path.name == "__init__.py")


def sample(source: str, module: str) -> list[Import]:
    return imports_of(ast.parse(source), module)


def test_the_package_has_its_folders_and_nothing_else() -> None:
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert found == set(FOLDERS)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "__main__.py"}


def forbidden_in(path: Path) -> list[str]:
    """Return what a module imports the wrong way, what of it is private or hidden, and what is undeclared."""
    module, found = module_of(path), of(path)
    ways = chain(wrong_way(module, found), private(module, found), hidden(module, found))
    return [*ways, *undeclared(module, found, core_distributions())]


def test_modules_import_one_way_nothing_private_and_nothing_undeclared() -> None:
    assert faults_in(package_files(), forbidden_in) == {}


def test_importing_the_package_loads_none_of_its_folders() -> None:
    assert [one.name for one in of(PACKAGE / "__init__.py")] == ["__future__.annotations"]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("guardgraph.state.task", "from guardgraph.guards import Depth"),
        ("guardgraph.guards.depth", "import guardgraph.nodes.gate"),
        ("guardgraph.guards.depth", "from ..nodes import gate"),
        ("guardgraph.guards.depth", "from ..graphs.frame import frame"),
        ("guardgraph.nodes.gate", "def later():\n    from guardgraph.graphs import supervisor"),
        ("guardgraph.graphs.frame", "from guardgraph import runs"),
        ("guardgraph.runs.runner", "if TYPE_CHECKING:\n    from guardgraph.evals import suite"),
    ],
)
def test_an_import_against_the_direction_is_found(module: str, source: str) -> None:
    assert len(wrong_way(module, sample(source, module))) == 1


@pytest.mark.parametrize(
    "source",
    ["from guardgraph.state import Task", "from ..guards.depth import Depth", "from . import meter", "import json"],
)
def test_an_import_along_the_direction_passes(source: str) -> None:
    assert not wrong_way("guardgraph.nodes.gate", sample(source, "guardgraph.nodes.gate"))


@pytest.mark.parametrize(
    "source",
    [
        "from langgraph._internal._config import DEFAULT_RECURSION_LIMIT",
        "import langgraph.pregel._loop",
        "from langgraph.pregel.main import Pregel",
        "from langgraph._internal import _runnable",
    ],
)
def test_a_private_module_of_langgraph_is_found(source: str) -> None:
    assert len(private("guardgraph.nodes.gate", sample(source, "guardgraph.nodes.gate"))) == 1


@pytest.mark.parametrize("source", ["from langgraph.graph import StateGraph", "from langgraph.pregel import Pregel"])
def test_a_public_name_of_langgraph_passes(source: str) -> None:
    assert not private("guardgraph.nodes.gate", sample(source, "guardgraph.nodes.gate"))


def test_an_import_inside_a_function_needs_a_reason_in_the_table() -> None:
    source = "def later():\n    import psycopg.errors\n    import guardgraph.state.task\n    from json import loads\n"
    source += "    from guardgraph.agents.model_agent import calls_of\n"

    found = hidden("guardgraph.evals.score", sample(source, "guardgraph.evals.score"))

    assert found == [
        "guardgraph.evals.score:3 imports guardgraph.state.task inside a function",
        "guardgraph.evals.score:4 imports json.loads inside a function",
    ]


def test_an_extra_imported_at_the_top_of_a_module_is_found() -> None:
    source = "import psycopg\nimport pydantic\nfrom langgraph.graph import END\nimport yaml\nimport json\n"

    found = undeclared("guardgraph.storage.sql", sample(source, "guardgraph.storage.sql"), core_distributions())

    assert found == ["guardgraph.storage.sql:1 imports psycopg"]


def test_every_lazy_import_of_the_table_is_ours_or_a_dependency_of_ours() -> None:
    project = settings()["project"]
    extras = chain.from_iterable(project["optional-dependencies"].values())
    declared = " ".join([project["name"], *project["dependencies"], *extras])

    def is_declared(root: str) -> bool:
        return any(one.lower().replace("_", "-") in declared for one in installed_roots().get(root, [root]))

    assert not [name for name in LAZY if not is_declared(name.partition(".")[0])]


def test_the_page_of_the_rooms_names_every_folder_in_the_order_of_imports() -> None:
    page = (PACKAGE.parent / "docs" / "design" / "0008-rooms.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}

    assert tuple(named) == FOLDERS
    assert set(named) == there
