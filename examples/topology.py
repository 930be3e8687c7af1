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
    "guard_admission": (90, 170), "planner": (255, 170), "guard_round": (420, 170), "guard_dispatch": (585, 170),
    "researcher": (750, 125), "analyst": (750, 215), "guard_handoff": (915, 170),
    "writer": (420, 370), "guard_exit": (585, 370), "conclude": (750, 370),
}  # fmt: skip
"""The middle of each node."""
GUARDS: tuple[Guard, ...] = (Depth(2), Budget(usd="2.00"), Convergence(rounds=2), Schema(), Grounding({}))
SAYS = {
    "planner": "makes a plan", "researcher": "at most 4 at a time", "analyst": "at most 4 at a time",
    "writer": "on the reserve", "conclude": "the outcome",
}  # fmt: skip
"""What stands under the name of a node; under a gate stand its guards."""
WAYS = {
    ("guard_admission", "planner"): "M155 170 H188", ("planner", "guard_round"): "M320 170 H353",
    ("guard_round", "guard_dispatch"): "M485 170 H518",
    ("guard_dispatch", "researcher"): "M650 162 C668 162 662 125 683 125",
    ("guard_dispatch", "analyst"): "M650 178 C668 178 662 215 683 215",
    ("researcher", "guard_handoff"): "M815 125 C833 125 827 162 848 162",
    ("analyst", "guard_handoff"): "M815 215 C833 215 827 178 848 178",
    ("guard_handoff", "planner"): "M925 146 V52 Q925 38 911 38 H259 Q245 38 245 52 V144",
    ("guard_round", "writer"): "M420 194 V344",
    ("writer", "guard_exit"): "M485 370 H518", ("guard_exit", "conclude"): "M650 370 H683",
}  # fmt: skip
"""How the straight way is drawn, round after round, until the planner has enough."""
BACK = {
    ("guard_round", "planner"): "M400 194 C400 226 275 226 275 196",
    ("guard_handoff", "guard_dispatch"): "M905 146 V82 Q905 72 895 72 H610 Q600 72 600 82 V144",
    ("guard_handoff", "researcher"): "M875 146 C872 88 800 72 790 99",
    ("guard_handoff", "analyst"): "M875 194 C872 252 800 268 790 241",
    ("guard_dispatch", "planner"): "M570 146 V116 Q570 106 560 106 H285 Q275 106 275 116 V144",
    ("guard_exit", "writer"): "M570 394 C570 424 435 424 435 396",
}  # fmt: skip
"""One more attempt, or what had to wait for another."""
REFUSED = {("guard_admission", "conclude"): "M90 194 V446 H750 V396"}
"""What is not admitted."""
LEAVES = {"guard_round": 470, "guard_dispatch": 585, "guard_handoff": 915}
ENDS = {"writer": 445, "conclude": 750}
"""The other ways out share one line: any gate may end the work early."""

NOTES = (
    ("", 585, 30, "the next round, with what is accepted and what is missing"),
    ("again", 752, 66, "a subtask that waited for another"),
    ("again", 422, 100, "nothing could be sent"),
    ("again", 848, 266, "refused: try again"),
    ("again", 502, 432, "refused: try again"),
    ("", 325, 274, "an empty plan: that is enough,"),
    ("", 325, 290, "now write"),
    ("ends", 600, 301, "a guard stops the work: write with what there is"),
    ("ends", 180, 440, "not admitted"),
    ("", -8, 160, "task"),
    ("", 932, 361, "a gate, and its guards"),
    ("", 897, 389, "an agent"),
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
    if any(target not in ENDS or source not in LEAVES for source, target in out):
        raise ValueError(f"there are new edges among these: {out}")
    parts = [_path("M-25 170 H23", "way")]
    parts += [_path(way, "way") for edge, way in WAYS.items() if edge in found]
    parts += [_path(way, "back") for edge, way in BACK.items() if edge in found]
    parts += [_path(way, "out") for edge, way in REFUSED.items() if edge in found]
    leaving = [LEAVES[source] for source in sorted({source for source, _ in out})]
    ending = [ENDS[target] for target in sorted({target for _, target in out})]
    parts += [f'<path class="out" d="M{x} 194 V285"/>' for x in leaving]
    parts += [f'<path class="out" d="M{min(leaving + ending)} 285 H{max(leaving + ending)}"/>']
    parts += [_path(f"M{x} 285 V344", "out") for x in ending]
    parts += [_LEGEND]
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


_SIZE = 'markerWidth="10" markerHeight="10" markerUnits="userSpaceOnUse"'


def _marker(kind: str, color: str) -> str:
    head = f'<marker id="{kind}" viewBox="0 0 8 8" refX="7" refY="4" {_SIZE} orient="auto">'
    return f'{head}<path d="M0 0 L8 4 L0 8 z" fill="{color}"/></marker>'


_HEAD = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="-30 0 1030 460" font-family="sans-serif" font-size="13">
<title>A supervisor with its guards</title>
<style>
text {{ text-anchor: middle; fill: #1f2328 }} .said {{ font-size: 10.5px; fill: #57606a }}
.note {{ font-size: 11px }} .ends {{ fill: #9a6700 }} .again {{ fill: #6639ba }}
.gate {{ fill: #fff1c2; stroke: #bf8700; stroke-width: 1.6 }} .agent {{ fill: #ddf4ff; stroke: #0969da }}
.end {{ fill: #dafbe1; stroke: #1a7f37 }}
.way, .back, .out {{ fill: none }} .way {{ stroke: #24292f; stroke-width: 2 }}
.back {{ stroke: #8250df; stroke-width: 1.2; stroke-dasharray: 5 3 }}
.out {{ stroke: #bf8700; stroke-width: 1.4; stroke-dasharray: 2 3 }}
</style>
<defs>{_marker("way", "#24292f")}{_marker("back", "#8250df")}{_marker("out", "#bf8700")}</defs>
<rect x="-30" width="1030" height="460" fill="#ffffff"/>
"""

_LEGEND = """<rect class="gate" x="840" y="349" width="26" height="16" rx="3"/>
<rect class="agent" x="840" y="377" width="26" height="16" rx="8"/>"""


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
