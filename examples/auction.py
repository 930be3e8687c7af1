"""A print shop: an order is split into lots, machines bid for them, and what they cost counts next time; all offline.

Run it with `python examples/auction.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from guardgraph.agents import Agent, Bid, Bidder, Skills
from guardgraph.graphs import auction
from guardgraph.runs import Runner
from guardgraph.state import Plan, Reply, Request, Subtask, Usage

SKILLS = Skills({"laser printing": ["printing"], "offset printing": ["printing"], "printing": [], "binding": []})
"""Who can do laser printing or offset printing can do what needs printing, whatever the machine."""
BROKEN = {"laser 2"}


def split(request: Request) -> Plan:
    """Split an order into lots; the brochure is bound once its pages are printed."""
    return Plan(
        subtasks=(
            Subtask(id="cover", goal="print 200 covers", skill="printing", inputs={"sheets": 200}),
            Subtask(id="pages", goal="print 8,000 pages", skill="printing", inputs={"sheets": 8_000}),
            Subtask(id="proof", goal="print one proof", skill="laser printing", inputs={"sheets": 1}),
            Subtask(id="bind", goal="bind 200 brochures", skill="binding", depends_on=("cover", "pages")),
        )
    )


def machine(name: str, skill: str, *, setup: float, sheet: float, bids_at: float = 1.0) -> Bidder:
    """Return a machine that bids what its sheets cost, times `bids_at`; it has room for 10,000 sheets a run."""

    def cost(lot: Subtask) -> float:
        return setup + sheet * int(str(lot.inputs.get("sheets", 1)))

    def bid(lots: Sequence[Subtask]) -> list[Bid]:
        return [
            Bid(subtask=lot.id, cost=cost(lot) * bids_at, load=float(str(lot.inputs.get("sheets", 1)))) for lot in lots
        ]

    def work(request: Request) -> Reply:
        assert request.subtask is not None
        if name in BROKEN:
            raise RuntimeError("out of toner")
        spent = Usage(usd=Decimal(str(round(cost(request.subtask), 2))), calls=1)
        return Reply(value=f"{request.goal}: done by {name}", usage=spent)

    return Bidder(Agent(name, run=work, skills=[skill]), bid=bid, capacity=10_000)


def shop() -> Any:
    """Return the auction."""
    machines = [
        machine("laser 1", "laser printing", setup=1, sheet=0.05),
        machine("laser 2", "laser printing", setup=1, sheet=0.04),
        machine("offset", "offset printing", setup=90, sheet=0.01),
        machine("boaster", "offset printing", setup=90, sheet=0.03, bids_at=0.3),
        machine("binder", "binding", setup=20, sheet=0.5),
    ]
    return auction(machines, planner=Agent("desk", run=split), skills=SKILLS, unit="usd", name="print shop")


def main() -> None:
    """Print two orders; in the second one the shop knows its machines."""
    with TemporaryDirectory() as folder, Runner(f"sqlite:///{Path(folder) / 'shop.db'}") as runner:
        for number in (1, 2):
            run = runner.run(shop(), "Print 200 brochures", thread_id=f"order {number}")
            print(f"order {number}: {run.status}")
            for message in run.state["log"]:
                if message.performative == "award":
                    lots = ", ".join(f"{one['subtask']} for {one['cost']:.2f}" for one in message.content["awards"])
                    print(f"  awarded to {message.recipients[0]}: {lots}")
                for one in message.content["settled"] if message.performative == "inform" else ():
                    if not one["is_done"]:
                        print(f"  {message.sender} has failed at {one['lot']}: {one['reason']}")
        for known in runner.list_reputations():
            print(f"{known.agent}: reliability {known.reliability:.2f}, overrun {known.overrun:.2f}")


if __name__ == "__main__":
    main()
