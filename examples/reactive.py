"""An order flow by events: agents subscribe to what has happened, and no agent knows the others.

Run it with `python examples/reactive.py`. The agents are functions; each could be a model with the tool `emit_event`.
"""

from __future__ import annotations

from guardgraph.agents import Agent
from guardgraph.graphs import Subscription, reactive
from guardgraph.graphs.draw.causes import causes_as_mermaid
from guardgraph.state import Event, Reply, Request, events_of

PRICES = {"lamp": 40, "desk": 300}


def sell(request: Request) -> Reply:
    """Place an order for each item of the task."""
    items = [str(item) for item in request.task.goal.split()]
    orders = tuple(Event(type="order.placed", data=item, subject=f"order {n}") for n, item in enumerate(items, 1))
    return Reply(value=f"{len(orders)} orders", events=orders)


def bill(request: Request) -> Reply:
    """Take the money for an order; an unknown item raises, and its event is parked."""
    event = request.event
    assert event is not None
    price = PRICES[str(event.data)]
    paid = Event(type="order.paid", data={"item": event.data, "price": price}, subject=event.subject)
    return Reply(value=price, events=(paid,))


def ship(request: Request) -> Reply:
    """Send what was paid."""
    event = request.event
    assert event is not None
    shipped = Event(type="order.shipped", data=event.subject, subject=event.subject)
    return Reply(value="shipped", events=(shipped,))


def check(request: Request) -> str:
    """Look at an expensive order."""
    return "checked"


def main() -> None:
    """Sell three items, one of which is unknown, and draw what has caused what."""
    team = reactive(
        [
            Subscription(Agent("sales", run=sell), ["task"]),
            Subscription(Agent("billing", run=bill), ["order.placed"]),
            Subscription(Agent("shipping", run=ship), ["order.paid"]),
            Subscription(Agent("auditor", run=check), ["order.paid"], where=lambda event: "300" in str(event.data)),
        ],
        emits={"sales": ["order.placed"], "billing": ["order.paid"], "shipping": ["order.shipped"]},
        value=["order.shipped"],
        name="orders",
    ).compile()
    state = list(team.stream({"task": "lamp unicorn desk"}, stream_mode="values"))[-1]
    print(state["outcome"])
    print(causes_as_mermaid(events_of(state)))


if __name__ == "__main__":
    main()
