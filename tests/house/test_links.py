from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.sources import ROOT


@pytest.mark.parametrize("name", ["graphs", "nodes", "state", "guards", "evals"])
def test_a_link_at_the_root_shows_the_folder_of_the_package(name: str) -> None:
    link = ROOT / name

    assert link.is_symlink()
    assert link.readlink() == Path("guardgraph") / name
    assert link.resolve() == ROOT / "guardgraph" / name
    assert link.is_dir()


def test_nothing_else_at_the_root_is_a_link() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_symlink()} == {
        "graphs",
        "nodes",
        "state",
        "guards",
        "evals",
    }
