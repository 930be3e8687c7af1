"""Is a clause of a contract acceptable? Three reviewers decide independently, and a blind judge where they differ.

Run it with `python examples/consensus.py`. The reviewers are functions that look for different risks; each could be a
model agent with the same `output`.
"""

from __future__ import annotations

import re

from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import CandidateScore, Criterion, Rubric, RubricScores, consensus, supermajority
from guardgraph.state import Evidence, Reply, Request, Task

CLAUSES = {
    "liability": "The supplier is liable for damage without limit. The customer may withhold payment until then.",
    "renewal": "The contract is renewed for 24 months unless it is cancelled before. The price may rise by 3 %.",
    "data": "Personal data is processed in the European Union alone. Subcontractors need written consent.",
    "logo": "The supplier may name the customer as a reference after written consent.",
}
RISKS = {
    "buyer": (r"renewed for (\d+) months", r"price may rise by (\d+)"),
    "lawyer": (r"renewed for (\d+) months", r"liable for damage without (limit)"),
    "auditor": (r"withhold (payment)", r"data is processed in (?!the European Union)(\w+)"),
}
RUBRIC = Rubric(
    [
        Criterion("evidence", 2, "the reason quotes the clause"),
        Criterion("caution", 1, "a risk that is seen is taken seriously"),
    ]
)


class Ruling(BaseModel):
    """What every reviewer answers."""

    acceptable: bool
    reason: str


def reviewer(name: str) -> Agent:
    """Return an agent that looks for the risks of its profession, and quotes the first that it finds."""

    def review(request: Request) -> Reply:
        clause = str(request.task.inputs["clause"])
        hits = [hit for risk in RISKS[name] if (hit := re.search(risk, clause))]
        if not hits:
            return Reply(value=Ruling(acceptable=True, reason="nothing found"), confidence=0.7)
        quote = hits[0].group()
        evidence = (Evidence(source="contract", quote=quote),)
        return Reply(value=Ruling(acceptable=False, reason=quote), evidence=evidence, confidence=0.9)

    return Agent(name, run=review)


def judge(request: Request) -> RubricScores:
    """Score anonymous rulings: a reason that quotes the clause is evidence; to refuse is cautious."""
    clause = str(request.task.inputs["clause"])
    scores: list[CandidateScore] = []
    for candidate in request.results:
        ruling = Ruling.model_validate(candidate.value)
        marks = {"evidence": 5 if ruling.reason in clause else 1, "caution": 2 if ruling.acceptable else 4}
        scores += [CandidateScore(candidate=candidate.title, criterion=name, score=marks[name]) for name in marks]
    return RubricScores(scores=tuple(scores))


def main() -> None:
    """Decide on each clause; the one about a logo has low stakes, so one reviewer is enough."""
    board = consensus(
        [reviewer(name) for name in RISKS],
        answer=Ruling,
        vote=supermajority(3 / 4),
        judge=Agent("judge", run=judge),
        rubric=RUBRIC,
        key=lambda ruling: ruling["acceptable"],
        stakes=lambda task: task.stakes,
        single=Agent("clerk", run=lambda request: Ruling(acceptable=True, reason="not for review")),
        name="contract_board",
    ).compile()
    for name, clause in CLAUSES.items():
        stakes = "low" if name == "logo" else "high"
        task = Task(goal="Is this clause acceptable?", inputs={"clause": clause}, stakes=stakes)
        state = list(board.stream({"task": task}, stream_mode="values"))[-1]
        outcome, decision = state["outcome"], state["decision"]
        sure = "" if outcome.confidence is None else f", confidence {outcome.confidence:.2f}"
        print(
            f"{name}: {outcome.status}, {outcome.value}{sure}, decided by {decision['by'] if decision else 'one agent'}"
        )
        for other in outcome.dissent:
            print(f"  dissent: {other}")


if __name__ == "__main__":
    main()
