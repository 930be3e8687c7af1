"""Support tickets: each goes to exactly one team, by rules, then by a classifier, then by a model; all offline.

Run it with `python examples/router.py` (the classifier needs `pip install 'guardgraph[routing]'`).
"""

from __future__ import annotations

from guardgraph.agents import Agent
from guardgraph.evals import routing_report
from guardgraph.graphs import Rule, router
from guardgraph.models.classifier import TextClassifier
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Request, Task

SOLVED: dict[str, list[str]] = {
    "billing": [
        "I was charged twice for one order",
        "please send the invoice for March",
        "my card was charged but the order was cancelled",
        "why is the invoice higher than the offer",
        "can I pay the invoice in two parts",
        "the discount is missing on my invoice",
        "which card do you charge for the subscription",
        "I was charged after I cancelled the subscription",
    ],
    "delivery": [
        "where is my parcel",
        "the parcel arrived damaged",
        "my delivery is a week late",
        "can you deliver the parcel to my neighbour",
        "the tracking of the parcel shows nothing",
        "half of the delivery is missing",
        "please deliver to another address",
        "the courier did not ring, where is the parcel now",
    ],
    "technical": [
        "the app crashes when I open it",
        "I cannot log in to the app",
        "the app does not send me the login code",
        "login fails with an error since the update",
        "the screen stays black after the update",
        "the app is slow and then crashes",
        "an error appears when I open my profile",
        "the update does not install",
    ],
}
"""Tickets that people have solved, by the team that did."""
NOBODY = [
    "do you have a job for me",
    "do you sponsor our school",
    "hello",
    "what a nice day",
    "do you know a good joke",
]
"""Tickets that belong to none of them: they teach the classifier to abstain."""
CHECKED: list[tuple[str, str | None]] = [
    ("the invoice has the wrong address", "billing"),
    ("you charged the wrong card", "billing"),
    ("the parcel was left in the rain", "delivery"),
    ("when will the delivery be here", "delivery"),
    ("the app shows an error", "technical"),
    ("I cannot open the app since the update", "technical"),
    ("my lawyer will call you", "legal"),
    ("do you have a museum", None),
]
"""Tickets on which the router is measured; it has not learned from them."""
TICKETS = [
    "I was charged twice, and the invoice shows it",
    "Where is my parcel? The tracking shows nothing",
    "LEGAL NOTICE: I will take you to court",
    "The app crashes after the update",
    "The app charged my card and the parcel is late",
    "Do you sponsor football clubs?",
    "Please close my account 4711",
]


def is_large_customer(task: Task) -> bool:
    """Return whether the ticket has come through the contract of a large customer."""
    return task.inputs.get("contract") == "enterprise"


def answer_as(team: str) -> Agent:
    """Return an agent that answers in the name of a team; a real one would be a model, `create_agent` or a graph."""
    return Agent(team, run=lambda request: f"{team} works on: {request.goal}", skills=[team])


def close_account(request: Request) -> str:
    """Fail, as a backend does that is down."""
    raise ConnectionError("the account service does not answer")


def main() -> None:
    """Route some tickets, print who got each and why, then report on the quality of the routes."""
    examples = [*((text, team) for team, texts in SOLVED.items() for text in texts), *((text, None) for text in NOBODY)]
    workers = [
        *map(answer_as, SOLVED),
        answer_as("legal"),
        answer_as("key_accounts"),
        Agent("accounts", run=close_account),
    ]
    rules = [
        Rule.keywords("court", "lawyer", "legal notice", worker="legal"),
        Rule.regex(r"close my account \d+", worker="accounts", name="closing an account"),
        Rule.when(is_large_customer, worker="key_accounts"),
    ]
    classifier = TextClassifier.train(examples)
    dispatcher = Agent("dispatcher", model=ScriptedModel(replies=_dispatch), timeout=20)
    desk = router(
        workers,
        fallback=answer_as("front_desk"),
        rules=rules,
        classifier=classifier,
        model=dispatcher,
        threshold=0.6,
    ).compile()
    for ticket in TICKETS:
        state = list(desk.stream({"task": ticket}, stream_mode="values"))[-1]
        print(f"{state['outcome'].status}: {state['outcome'].value}")
        for decision in state["routing"]:
            print(f"    {decision.rung} -> {decision.worker}: {decision.reason}")
    print()
    print(routing_report(CHECKED, workers=workers, fallback="front_desk", rules=rules, classifier=classifier))


def _dispatch(messages: object) -> str:
    """Answer as a model would: what is about money goes to billing, else nobody fits."""
    if "charged" in str(messages):
        return '{"worker": "billing", "reason": "the charge comes first", "confidence": 0.7}'
    return '{"worker": null, "reason": "this is no ticket for one of the teams"}'


if __name__ == "__main__":
    main()
