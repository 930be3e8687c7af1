from __future__ import annotations

import pytest

from bench.scheduling import begun, generated, makespan_of, with_barrier, without_barrier


@pytest.mark.parametrize("seed", range(5))
def test_a_subtask_begins_in_the_superstep_after_its_last_dependency(seed: int) -> None:
    workflow = generated(seed)

    steps = begun(workflow, cap=4)

    level = dict[str, int]()
    for name, needs in workflow.needs.items():
        level[name] = 1 + max((level[need] for need in needs), default=-1)
    assert [set(step) for step in steps] == [
        {name for name, at in level.items() if at == number} for number in range(len(steps))
    ]
    ours = makespan_of(steps, workflow.seconds, 4)
    assert ours <= 1.1 * with_barrier(workflow, 4)
    assert without_barrier(workflow, 4) <= ours * (1 + 1e-9)
