"""The books of a run without a `Runner`."""

from __future__ import annotations

import pytest

from guardgraph.nodes import Agent, services_of
from guardgraph.state import Request, Usage
from tests.graphs.teams import WAYS, plan_of, speaker, team


@pytest.mark.parametrize("way", WAYS)
def test_the_books_of_a_plain_run_are_dropped_when_its_outcome_is_told_and_not_with_that_of_a_team_below(
    way: str,
) -> None:
    below = team(plan_of("x"), workers=[speaker("leaf", read=80, written=20)]).compile()
    seen: list[tuple[str, int]] = []

    def writes(request: Request) -> str:
        run_id = request.key.partition("/")[0]
        seen.append((run_id, services_of(None, run_id).ledger.usage(run_id).tokens))
        return "done"

    graph = team(plan_of("a"), workers=[Agent("team", run=below)], synthesizer=Agent("writer", run=writes)).compile()

    outcome = WAYS[way](graph)

    [(run_id, spent)] = seen
    assert (outcome.status, outcome.usage.tokens, spent) == ("completed", 100, 100)
    assert services_of(None, run_id).ledger.usage(run_id) == Usage(), "another book, and an empty one"
