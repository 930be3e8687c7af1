from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from guardgraph.runs.named_graph import named_graph
from guardgraph.runs.versions import GraphVersion
from guardgraph.state import BadInput
from tests.runs import team


def unfinished(attempts: int = 1) -> Any:
    return len(attempts)  # type: ignore[arg-type]


def test_what_a_builder_raises_is_raised_as_it_is() -> None:
    with pytest.raises(TypeError, match=r"object of type 'int' has no len\(\)"):
        named_graph("unfinished", {"attempts": 5}, {"unfinished": GraphVersion(unfinished)})


@pytest.mark.parametrize(
    ("build", "arguments", "error"),
    [
        (team.tiers, {"nothing": 1}, r"cannot be built with \['nothing'\]: got an unexpected keyword argument"),
        (lambda folder: folder, {}, r"cannot be built with \[\]: missing a required argument: 'folder'"),
        (team.tiers, {1: 2}, r"cannot be built with \['1'\]: "),
    ],
)
def test_arguments_that_a_builder_does_not_take_are_named(
    build: Callable[..., Any], arguments: Any, error: str
) -> None:
    with pytest.raises(BadInput, match=error):
        named_graph("team", arguments, {"team": GraphVersion(build)})
