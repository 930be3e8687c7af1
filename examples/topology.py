"""Draw the supervisor with its guards from the real graph, as SVG; the picture of the README is made by this.

Run it with `python examples/topology.py FILE.svg`; without a file it only says what there is to draw.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from guardgraph.graphs import supervisor
from guardgraph.guards import Budget, Convergence, Depth, Grounding, Guard, Schema, name_of
from guardgraph.nodes import Agent

Edge = tuple[str, str]

PLACES = {
    "guard_admission": (90, 130), "planner": (255, 130), "guard_round": (420, 130), "guard_dispatch": (585, 130),
    "researcher": (750, 85), "analyst": (750, 175), "guard_handoff": (915, 130),
    "writer": (585, 330), "guard_exit": (750, 330), "conclude": (915, 330),
}  # fmt: skip
"""The middle of each node."""
GUARDS: tuple[Guard, ...] = (Depth(2), Budget(usd="2.00"), Convergence(rounds=2), Schema(), Grounding({}))
SAYS = {
    "planner": "makes a plan", "researcher": "at most 4 at a time", "analyst": "at most 4 at a time",
    "writer": "on the reserve", "conclude": "the outcome",
}  # fmt: skip
"""What stands under the name of a node; under a gate stand its guards."""
WAYS = {
    ("guard_admission", "planner"): "M150 130 H195", ("planner", "guard_round"): "M315 130 H355",
    ("guard_round", "guard_dispatch"): "M485 130 H520",
    ("guard_dispatch", "researcher"): "M650 122 C670 122 665 85 685 85",
    ("guard_dispatch", "analyst"): "M650 138 C670 138 665 175 685 175",
    ("researcher", "guard_handoff"): "M815 85 C835 85 830 122 850 122",
    ("analyst", "guard_handoff"): "M815 175 C835 175 830 138 850 138",
    ("writer", "guard_exit"): "M645 330 H685", ("guard_exit", "conclude"): "M815 330 H850",
}  # fmt: skip
"""How the straight way is drawn."""
BACK = {
    ("guard_round", "planner"): "M400 154 C400 186 275 186 275 154",
    ("guard_handoff", "planner"): "M930 106 C930 8 255 8 255 102",
    ("guard_handoff", "guard_dispatch"): "M915 106 C915 28 585 28 585 102",
    ("guard_handoff", "researcher"): "M890 106 C885 40 775 20 768 57",
    ("guard_handoff", "analyst"): "M890 154 C880 202 840 200 819 188",
    ("guard_dispatch", "planner"): "M570 106 C560 58 275 58 270 102",
    ("guard_exit", "writer"): "M735 354 C735 378 600 378 600 358",
}  # fmt: skip
"""One more round, one more attempt, or what had to wait for another."""
REFUSED = {("guard_admission", "conclude"): "M60 154 V390 H915 V358"}
"""What is not admitted."""
ENDS = {"writer": "M585 236 V302", "conclude": "M915 236 V302"}
"""The other ways out share one line: any gate may end the work early."""

NOTES = (
    ("again", 130, 50, "again: the next round, a refused result,"),
    ("again", 130, 65, "a subtask that waited for another"),
    ("ends", 395, 262, "a guard stops the work, or nothing is left to do:"),
    ("ends", 395, 277, "write with what there is"),
    ("ends", 130, 382, "not admitted"),
)


def edges() -> list[Edge]:
    """Return the edges of the compiled graph."""
    agents = {name: Agent(name, run=str) for name in ("planner", "researcher", "analyst", "writer")}
    team = supervisor(
        planner=agents["planner"],
        workers=[agents["researcher"], agents["analyst"]],
        synthesizer=agents["writer"],
        guards=GUARDS,
    )
    drawn = team.compile().get_graph().edges
    return sorted((edge.source, edge.target) for edge in drawn if "__" not in edge.source + edge.target)


def picture(found: list[Edge]) -> str:
    """Return the picture; raises `ValueError` for an edge that it does not know how to draw."""
    out = [(source, target) for source, target in found if (source, target) not in WAYS | BACK | REFUSED]
    if any(target not in ENDS or source not in PLACES for source, target in out):
        raise ValueError(f"there are new edges among these: {out}")
    parts = [_path(way, "way") for edge, way in WAYS.items() if edge in found]
    parts += [_path(way, "back") for edge, way in BACK.items() if edge in found]
    parts += [_path(way, "out") for edge, way in REFUSED.items() if edge in found]
    leaving = sorted({PLACES[source][0] for source, _ in out})
    parts += [f'<path class="out" d="M{x} 154 V236"/>' for x in leaving]
    parts += [f'<path class="out" d="M{leaving[0]} 236 H{max(*leaving, 915)}"/>']
    parts += [_path(ENDS[target], "out") for target in sorted({target for _, target in out})]
    parts += [_node(name) for name in PLACES]
    parts += [f'<text class="note {kind}" x="{x}" y="{y}">{text}</text>' for kind, x, y, text in NOTES]
    return _HEAD + "\n".join(parts) + "\n</svg>\n"


def _path(way: str, kind: str) -> str:
    return f'<path class="{kind}" d="{way}" marker-end="url(#{kind})"/>'


def _node(name: str) -> str:
    x, y = PLACES[name]
    kind = "gate" if name.startswith("guard_") else "end" if name == "conclude" else "agent"
    round_ = 6 if kind == "gate" else 20
    box = f'<rect class="{kind}" x="{x - 65}" y="{y - 24}" width="130" height="48" rx="{round_}"/>'
    judging = [name_of(guard) for guard in GUARDS if name.removeprefix("guard_") in guard.gates]
    below = SAYS.get(name) or " · ".join(judging)
    said = f'<text class="said" x="{x}" y="{y + 13}">{escape(below)}</text>'
    return f'{box}<text x="{x}" y="{y - 3}">{name}</text>{said}'


def _marker(kind: str, color: str) -> str:
    head = f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    return f'{head}<path d="M0 0 L8 4 L0 8 z" fill="{color}"/></marker>'


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 400" font-family="sans-serif" font-size="13">
<title>A supervisor with its guards</title>
<style>
text {{ text-anchor: middle; fill: #1f2328 }} .said {{ font-size: 10.5px; fill: #57606a }}
.note {{ font-size: 11px }} .ends {{ fill: #9a6700 }} .again {{ fill: #6639ba }}
.gate {{ fill: #fff1c2; stroke: #bf8700; stroke-width: 1.6 }} .agent {{ fill: #ddf4ff; stroke: #0969da }}
.end {{ fill: #dafbe1; stroke: #1a7f37 }}
.way, .back, .out {{ fill: none }} .way {{ stroke: #24292f; stroke-width: 1.6 }}
.back {{ stroke: #8250df; stroke-dasharray: 5 3 }} .out {{ stroke: #bf8700; stroke-dasharray: 2 3 }}
</style>
<defs>{_marker("way", "#24292f")}{_marker("back", "#8250df")}{_marker("out", "#bf8700")}</defs>
<rect width="1000" height="400" fill="#ffffff"/>
"""


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
