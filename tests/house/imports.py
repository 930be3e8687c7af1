"""What a module imports, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple


class Import(NamedTuple):
    """One imported module, and where."""

    name: str
    """Dotted and absolute; `from a import b` is `a.b`, since `b` may be a module."""
    line: int
    lazy: bool
    """Inside a function."""
    typing_only: bool
    """Below `if TYPE_CHECKING:`, so never run."""


def imports_of(tree: ast.AST, module: str, *, is_package: bool = False) -> list[Import]:
    """Return all that `module` imports; relative names are made absolute."""
    return list(_walk(tree, module if is_package else module.rpartition(".")[0], lazy=False, typing_only=False))


def _walk(node: ast.AST, package: str, *, lazy: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, lazy, typing_only) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            origin = _origin(child, package)
            yield from (Import(f"{origin}.{alias.name}", child.lineno, lazy, typing_only) for alias in child.names)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(child, package, lazy=lazy or inside, typing_only=typing_only or guarded)


def _origin(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])
