"""A trip: peers ask each other, agree on a plan under a budget, and hand over to the one who books; all offline.

Run it with `python examples/swarm.py`.
"""

from __future__ import annotations

from decimal import Decimal

from pydantic import JsonValue

from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.guards import Authority, Depth, Limits
from guardgraph.state import Message, Reply, Request

FARES = {"Rome": 180, "Oslo": 90, "Lisbon": 210}
ROOMS = {"Rome": 140, "Lisbon": 95}
"""Prices of two nights; there is no room in Oslo."""
BUDGET = 310


def flights(request: Request) -> Reply:
    """Propose the cheapest city that was not rejected yet."""
    refused = {str(name) for name in request.memory} if isinstance(request.memory, list) else set[str]()
    for message in request.messages:
        if message.performative == "reject" and isinstance(message.content, dict):
            refused.add(str(message.content["city"]))
    city = min((name for name in FARES if name not in refused), key=FARES.__getitem__)
    offer: dict[str, JsonValue] = {"city": city, "fare": FARES[city]}
    commits = {"usd": Decimal(FARES[city])}
    proposal = Message(recipients=("hotel", "purse"), performative="propose", content=offer, commits=commits)
    return Reply(messages=(proposal,), memory=[*sorted(refused)])


def hotel(request: Request) -> Reply:
    """Accept a city with a room."""
    return Reply(messages=tuple(answer(message, str(city_of(message)) in ROOMS) for message in request.messages))


def purse(request: Request) -> Reply:
    """Accept what the budget pays for."""
    return Reply(
        messages=tuple(
            answer(message, FARES[city_of(message)] + ROOMS.get(city_of(message), 0) <= BUDGET)
            for message in request.messages
        )
    )


def city_of(message: Message) -> str:
    """Return the city of a proposal."""
    return str(message.content["city"]) if isinstance(message.content, dict) else ""


def answer(proposal: Message, fits: bool) -> Message:  # noqa: FBT001 - it is what is answered
    """Return the acceptance or the rejection of a proposal."""
    return Message(
        recipients=(proposal.sender,),
        performative="accept" if fits else "reject",
        content={"city": city_of(proposal)},
        in_reply_to=proposal.id,
    )


def main() -> None:
    """Let three peers agree on a city, and print the conversation."""
    trip = swarm(
        [Agent("flights", run=flights), Agent("hotel", run=hotel), Agent("purse", run=purse)],
        acceptance=["flights", "hotel", "purse"],
        guards=[Depth(), Limits(messages=40), Authority({"flights": {"usd": 250}})],
        name="trip",
    ).compile()
    *_, state = trip.stream({"task": "A weekend for two"}, stream_mode="values")
    for message in state["log"]:
        print(f"{message.sender} -> {', '.join(message.recipients)}: {message.performative} {message.content}")
    print(f"{state['outcome'].status}: {state['outcome'].value}")
    print(f"accepted by {', '.join(state['agreement']['accepted'])}")


if __name__ == "__main__":
    main()
