"""Values reach SQL as bound parameters, never as text."""

from __future__ import annotations

import ast

import pytest

from tests.house.sources import faults_in, python_files, tree_of

RUNS_SQL = frozenset(
    {"text", "literal_column", "exec_driver_sql", "execute", "executemany", "executescript", "scalar", "scalars"}
)
FILES = python_files("guardgraph", "examples", "bench")


def is_built(node: ast.expr) -> bool:
    """Tell whether `node` is a text put together from other values."""
    match node:
        case ast.JoinedStr():
            return any(isinstance(part, ast.FormattedValue) for part in node.values)
        case ast.BinOp(op=ast.Mod() | ast.Add()):
            return any(_is_text(side) for side in (node.left, node.right))
        case ast.Call(func=ast.Attribute(attr="format" | "format_map" | "join" | "replace")):
            return True
        case _:
            return False


def _is_text(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        or is_built(node)
    )


def built_sql(tree: ast.AST) -> list[str]:
    """Name the calls that run SQL and whose text is put together on the spot, also through a name assigned before."""
    built = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and is_built(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args and _name(node.func) in RUNS_SQL
        if not is_pragma(node.args[0])
        if is_built(node.args[0]) or (isinstance(node.args[0], ast.Name) and node.args[0].id in built)
    ]


def is_pragma(node: ast.expr) -> bool:
    """Tell whether `node` sets a number in SQLite's PRAGMA, which takes no bound parameters."""
    if not isinstance(node, ast.JoinedStr):
        return False
    values = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    return ast.unparse(node.values[0]).startswith("'PRAGMA ") and all(
        ast.unparse(value).startswith("int(") for value in values
    )


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def test_no_sql_is_built_from_text() -> None:
    assert faults_in(FILES, lambda path: built_sql(tree_of(path))) == {}


@pytest.mark.parametrize(
    "source",
    [
        'connection.execute(text(f"SELECT * FROM runs WHERE id = {run}"))',
        'connection.execute("SELECT * FROM runs WHERE id = %s" % run)',
        'connection.exec_driver_sql("SELECT * FROM runs WHERE id = {}".format(run))',
        'connection.exec_driver_sql("SELECT * FROM " + table)',
        'connection.execute(f"PRAGMA {name}")',
        'statement = f"DELETE FROM {table}"\nconnection.execute(statement)',
        'text("SELECT " + ", ".join(columns) + " FROM runs")',
    ],
)
def test_sql_built_from_text_is_found(source: str) -> None:
    assert len(built_sql(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        'connection.execute(text("SELECT * FROM runs WHERE id = :run"), {"run": run})',
        "connection.execute(select(runs).where(runs.c.id == run))",
        'connection.exec_driver_sql("PRAGMA journal_mode=WAL")',
        'connection.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")',
        'print(f"{run} is done")',
    ],
)
def test_sql_with_bound_values_passes(source: str) -> None:
    assert not built_sql(ast.parse(source))
