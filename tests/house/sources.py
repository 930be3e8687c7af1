"""The project's own files, as the tests of the house read them."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "guardgraph"
FOLDERS = (
    "state",
    "text",
    "guards",
    "storage",
    "models",
    "runtime",
    "agents",
    "nodes",
    "graphs",
    "runs",
    "evals",
    "research",
    "testing",
    "cli",
)
"""The package's folders, in the order in which they may import each other."""


def python_files(*folders: str) -> list[Path]:
    """Return every Python file below `folders` of the project, in a stable order."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def package_files() -> list[Path]:
    """Return every Python file of the package."""
    return python_files("guardgraph")


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed source of `path`."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def module_of(path: Path) -> str:
    """Return the dotted name under which `path`, a file of the project, is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def faults_in(paths: Iterable[Path], find: Callable[[Path], Iterable[object]]) -> dict[str, list[object]]:
    """Return what `find` finds in each of `paths` where it finds anything, by the name of the file."""
    found = {str(path.relative_to(ROOT)): [*find(path)] for path in paths}
    return {name: faults for name, faults in found.items() if faults}


def is_migration(path: Path) -> bool:
    """Tell whether Alembic, not Python's import system, loads `path`; its names are Alembic's."""
    return "migrations" in path.parts and path.name != "__init__.py"


@cache
def settings() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files that git keeps, or none where there is no repository (in an unpacked sdist)."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached"]
    if not (ROOT / ".git").exists():
        return ()
    listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return tuple(
        path for name in listed.split("\0") if name and (path := ROOT / name).is_file() and not path.is_symlink()
    )
