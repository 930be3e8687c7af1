"""Draw the supervisor with its guards from the real graph, as SVG; the picture of the README is made by this.

Run it with `python examples/topology.py FILE.svg`; without a file it only says what there is to draw.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Depth, Grounding, Guard, Schema

Edge = tuple[str, str]

PLACES = {
    "guard_admission": (90, 170), "planner": (270, 170), "guard_dispatch": (470, 170),
    "researcher": (680, 125), "analyst": (680, 215), "guard_handoff": (890, 170),
    "writer": (470, 370), "guard_exit": (680, 370),
}  # fmt: skip
"""The middle of each node."""
GUARDS: tuple[Guard, ...] = (Depth(2), Budget(usd="2.00"), Convergence(rounds=2), Schema(), Grounding({}))
SAYS = {
    "planner": "makes a plan", "researcher": "at most 4 at a time", "analyst": "at most 4 at a time",
    "writer": "on the reserve",
}  # fmt: skip
"""What stands under the name of a node; under a gate stand its guards."""
WAYS = {
    ("guard_admission", "planner"): "M175 170 H203", ("planner", "guard_dispatch"): "M335 170 H383",
    ("guard_dispatch", "researcher"): "M555 162 C590 162 580 125 613 125",
    ("guard_dispatch", "analyst"): "M555 178 C590 178 580 215 613 215",
    ("researcher", "guard_handoff"): "M745 125 C780 125 770 162 803 162",
    ("analyst", "guard_handoff"): "M745 215 C780 215 770 178 803 178",
    ("guard_handoff", "planner"): "M900 140 V52 Q900 38 886 38 H274 Q260 38 260 52 V144",
    ("guard_dispatch", "writer"): "M470 200 V344",
    ("writer", "guard_exit"): "M535 370 H593",
}  # fmt: skip
"""How the straight way is drawn, round after round, until the planner has enough."""
BACK = {
    ("guard_handoff", "guard_dispatch"): "M880 140 V82 Q880 72 870 72 H495 Q485 72 485 82 V138",
    ("guard_handoff", "researcher"): "M850 140 C847 88 735 72 725 99",
    ("guard_handoff", "analyst"): "M850 200 C847 252 735 268 725 241",
    ("guard_dispatch", "planner"): "M455 140 V116 Q455 106 445 106 H300 Q290 106 290 116 V144",
    ("guard_exit", "writer"): "M665 400 C665 430 485 430 485 396",
}  # fmt: skip
"""One more attempt, or what had to wait for another."""
REFUSED = {("guard_admission", "guard_exit"): "M90 200 V446 H710 V402"}
"""What is not admitted."""
LEAVES = {"guard_dispatch": 530, "guard_handoff": 890}
ENDS = {"writer": (500, 344), "guard_exit": (710, 338)}
"""The other ways out share one line: any gate may end the work early."""

NOTES = (
    ("", 580, 30, "the next round, with what is accepted and what is missing"),
    ("again", 690, 66, "a subtask that waited for another"),
    ("again", 372, 100, "no plan, or nothing could be sent"),
    ("again", 668, 257, "refused: try again"),
    ("again", 575, 438, "refused: try again"),
    ("", 375, 274, "an empty plan: that is enough,"),
    ("", 375, 290, "now write"),
    ("ends", 668, 279, "a guard stops the work: write with what there is"),
    ("ends", 180, 440, "not admitted"),
    ("", -8, 160, "task"),
    ("", 830, 374, "the outcome"),
    ("", 932, 431, "a gate, and its guards"),
    ("", 897, 457, "an agent"),
)


def team() -> StateGraph[Any, Any, Any, Any]:
    """Return the graph that is drawn."""
    agents = {name: Agent(name, run=str) for name in ("planner", "researcher", "analyst", "writer")}
    return supervisor(
        planner=agents["planner"],
        workers=[agents["researcher"], agents["analyst"]],
        synthesizer=agents["writer"],
        guards=GUARDS,
    )


def edges() -> list[Edge]:
    """Return the edges of the compiled graph."""
    drawn = team().compile().get_graph().edges
    return sorted((edge.source, edge.target) for edge in drawn if "__" not in edge.source + edge.target)


def picture(found: list[Edge]) -> str:
    """Return the picture; raises `ValueError` for an edge that it does not know how to draw."""
    out = [(source, target) for source, target in found if (source, target) not in WAYS | BACK | REFUSED]
    if any(target not in ENDS or source not in LEAVES for source, target in out):
        raise ValueError(f"there are new edges among these: {out}")
    parts = [_path("M-25 170 H3", "way"), _path("M765 370 H790", "way")]
    parts += [_path(way, "way") for edge, way in WAYS.items() if edge in found]
    parts += [_path(way, "back") for edge, way in BACK.items() if edge in found]
    parts += [_path(way, "out") for edge, way in REFUSED.items() if edge in found]
    leaving = [LEAVES[source] for source in sorted({source for source, _ in out})]
    ending = [ENDS[target] for target in sorted({target for _, target in out})]
    across = [*leaving, *(x for x, _ in ending)]
    parts += [f'<path class="out" d="M{x} 200 V285"/>' for x in leaving]
    parts += [f'<path class="out" d="M{min(across)} 285 H{max(across)}"/>']
    parts += [_path(f"M{x} 285 V{y}", "out") for x, y in ending]
    parts += [_LEGEND]
    parts += [_node(name) for name in PLACES]
    parts += [f'<text class="note {kind}" x="{x}" y="{y}">{text}</text>' for kind, x, y, text in NOTES]
    return _HEAD + "\n".join(parts) + "\n</svg>\n"


def _path(way: str, kind: str) -> str:
    return f'<path class="{kind}" d="{way}" marker-end="url(#{kind})"/>'


def _node(name: str) -> str:
    x, y = PLACES[name]
    is_gate = name.startswith("guard_")
    width, height = (170, 60) if is_gate else (130, 48)
    kind, round_ = ("gate", 6) if is_gate else ("agent", 20)
    left, top = x - width // 2, y - height // 2
    below = _judging(name) if is_gate else [SAYS[name]]
    head = y + 4 - 7 * len(below)
    said = [f'<text class="said" x="{x}" y="{head + 14 * n}">{escape(line)}</text>' for n, line in enumerate(below, 1)]
    box = f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="{round_}"/>'
    return "".join([box, f'<text x="{x}" y="{head}">{name}</text>', *said])


def _judging(gate: str) -> list[str]:
    """Return which guards judge in a gate, as its metadata tells."""
    metadata = team().nodes[gate].metadata or {}
    return str(metadata["guards"]).split("; ")


_SIZE = 'markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse"'


def _marker(kind: str, color: str) -> str:
    head = f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" {_SIZE} orient="auto">'
    return f'{head}<path d="M0 0 L8 4 L0 8 z" fill="{color}"/></marker>'


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="-30 0 1030 475" font-family="sans-serif" font-size="13">
<title>A supervisor with its guards</title>
<style>
text {{ text-anchor: middle; fill: #1f2328 }} .said {{ font-size: 10.5px; fill: #57606a }}
.note {{ font-size: 11px }} .ends {{ fill: #9a6700 }} .again {{ fill: #6639ba }}
.gate {{ fill: #fff1c2; stroke: #bf8700; stroke-width: 1.6 }} .agent {{ fill: #ddf4ff; stroke: #0969da }}
.way, .back, .out {{ fill: none }} .way {{ stroke: #24292f; stroke-width: 2 }}
.back {{ stroke: #8250df; stroke-width: 1.2; stroke-dasharray: 5 3 }}
.out {{ stroke: #bf8700; stroke-width: 1.4; stroke-dasharray: 2 3 }}
</style>
<defs>{_marker("way", "#24292f")}{_marker("back", "#8250df")}{_marker("out", "#bf8700")}</defs>
<rect x="-30" width="1030" height="475" fill="#ffffff"/>
"""

_LEGEND = """<rect class="gate" x="840" y="419" width="26" height="16" rx="3"/>
<rect class="agent" x="840" y="445" width="26" height="16" rx="8"/>"""


def main() -> None:
    """Write the picture, and say what is in it."""
    found = edges()
    drawn = picture(found)
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(drawn, encoding="utf-8")
    for source, target in found:
        print(f"{source} -> {target}")


if __name__ == "__main__":
    main()
