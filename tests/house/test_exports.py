"""`__all__` is the truth about what a module offers. Its order is ruff's business (RUF022)."""

from __future__ import annotations

import ast
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from tests.house.sources import faults_in, is_migration, module_of, package_files, tree_of

MODULES = [path for path in package_files() if path.name != "__init__.py" and not is_migration(path)]
PACKAGES = [path for path in package_files() if path.name == "__init__.py"]


def exported(tree: ast.Module) -> tuple[str, ...] | None:
    """Return the names in `__all__`, or None when there is no `__all__` that is a tuple of texts."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            value: object = ast.literal_eval(node.value)
            return tuple(str(name) for name in value) if isinstance(value, tuple) else None
    return None


def defined(tree: ast.Module) -> set[str]:
    """Return the public names that a module defines itself: functions, classes, assigned names; no type variables."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not is_type_variable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names.update(part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name))
    return {name for name in names if not name.startswith("_")}


def is_type_variable(value: ast.expr | None) -> bool:
    """Tell whether `value` makes a type variable."""
    return isinstance(value, ast.Call) and ast.unparse(value.func) in {"TypeVar", "ParamSpec", "TypeVarTuple"}


LAZY_INIT = {
    "if TYPE_CHECKING",
    "def __getattr__(name: str) -> Any",
    "def __dir__() -> list[str]",
    "_MODULES =",
}
"""How the statements of a package begin that imports a name only when it is asked for."""


def imported(tree: ast.Module) -> set[str]:
    """Return the public names that a package's `__init__` imports."""
    lazy = [node for block in tree.body if isinstance(block, ast.If) for node in block.body]
    nodes = [node for node in lazy or tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def modules_asked_for(tree: ast.Module) -> dict[str, str]:
    """Return the module of each name that a package imports when it is asked for."""
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and is_named(node, "_MODULES")]
    return ast.literal_eval(tables[0]) if tables else {}


def is_named(node: ast.Assign, name: str) -> bool:
    """Tell whether a statement assigns to `name`."""
    return [ast.unparse(target) for target in node.targets] == [name]


def foreign_statements(tree: ast.Module) -> list[str]:
    """Name what stands in a package's `__init__` beside docstring, imports, `__all__` and the version."""
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    expected = LAZY_INIT if modules_asked_for(tree) else set[str]()
    return [
        ast.unparse(node)
        for node in body
        if not ast.unparse(node).startswith(tuple(expected))
        and not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__all__", "__version__"})
    ]


def wrongly_exported(path: Path) -> list[str]:
    """Return the names that a module exports and does not define, or the other way round; without `__all__`, that."""
    names = exported(tree_of(path))
    if names is None:
        return ["`__all__` must be a tuple of texts"]
    given, expected = Counter(names), Counter(defined(tree_of(path)))
    return sorted(((given - expected) + (expected - given)).elements())


def test_every_module_exports_exactly_what_it_defines() -> None:
    assert faults_in(MODULES, wrongly_exported) == {}


@pytest.mark.parametrize("path", PACKAGES, ids=module_of)
def test_a_package_holds_a_docstring_imports_and_what_it_exports(path: Path) -> None:
    tree = tree_of(path)
    names = exported(tree)

    assert ast.get_docstring(tree)
    assert not foreign_statements(tree)
    assert names is not None or not imported(tree), "`__all__` must be a tuple of texts"
    asked = modules_asked_for(tree)
    assert Counter(names or ()) == Counter(imported(tree) - {"Any", "TYPE_CHECKING", "import_module"})
    assert not asked or set(asked) == set(names or ())
    for name, module in asked.items():
        assert getattr(import_module(module_of(path)), name) is getattr(import_module(module), name)


def test_no_name_is_exported_by_two_packages() -> None:
    counted = Counter(name for path in PACKAGES for name in exported(tree_of(path)) or ())

    assert not [name for name, count in counted.items() if count > 1]


def test_there_is_something_to_check() -> None:
    assert len(PACKAGES) >= 1
    assert len(MODULES) >= 10


def test_definitions_are_found_wherever_they_stand() -> None:
    source = "import os\nfrom json import loads\ndef a(): pass\nasync def b(): pass\nclass C: pass\n"
    source += "D = 1\nE: int = 2\n_f = 3\n"
    source += "T = TypeVar('T')\n"

    assert defined(ast.parse(source)) == {"a", "b", "C", "D", "E"}


@pytest.mark.parametrize("source", ["__all__ = ['a']", "", "__all__: tuple[str, ...] = ('a',)"])
def test_a_list_or_nothing_is_no_export(source: str) -> None:
    assert exported(ast.parse(source)) is None


def test_code_in_a_package_is_found() -> None:
    source = '"""A package."""\nfrom a import b\n__all__ = ("b",)\nb.start()\ndef c(): pass\n'

    assert len(foreign_statements(ast.parse(source))) == 2
