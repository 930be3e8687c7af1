"""Dominators of a flow graph, and its postorder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

__all__ = ("Dominators", "postorder")


class Dominators:
    """Which nodes lie on every path from `root` to a node.

    The algorithm is that of Cooper, Harvey and Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
    """

    def __init__(self, targets: Mapping[str, Iterable[str]], root: str) -> None:
        order = postorder(targets, root)
        self._number = {node: number for number, node in enumerate(order)}
        self._above: dict[str, str] = {root: root}
        sources: dict[str, list[str]] = defaultdict(list)
        for source in order:
            for target in targets.get(source, ()):
                sources[target].append(source)
        changed = True
        while changed:
            changed = False
            for node in reversed(order[:-1]):
                known = [source for source in sources[node] if source in self._above]
                above = known[0]
                for source in known[1:]:
                    above = self._common(above, source)
                if self._above.get(node) != above:
                    self._above[node], changed = above, True

    def on_every_path(self, node: str, to: str) -> bool:
        """Return whether every path from the root to the node `to` goes through `node`; not for what is not reached."""
        if node not in self._number or to not in self._number:
            return False
        while self._number[to] < self._number[node]:
            to = self._above[to]
        return to == node

    def _common(self, one: str, other: str) -> str:
        while one != other:
            while self._number[one] < self._number[other]:
                one = self._above[one]
            while self._number[other] < self._number[one]:
                other = self._above[other]
        return one


def postorder(targets: Mapping[str, Iterable[str]], root: str, seen: set[str] | None = None) -> list[str]:
    """Return what is reached from `root` and not yet `seen`, in postorder; `seen` then holds it, too."""
    seen = set() if seen is None else seen
    if root in seen:
        return []
    seen.add(root)
    order: list[str] = []
    waiting = [(root, iter(targets.get(root, ())))]
    while waiting:
        target = next((one for one in waiting[-1][1] if one not in seen), None)
        if target is None:
            order.append(waiting.pop()[0])
        else:
            seen.add(target)
            waiting.append((target, iter(targets.get(target, ()))))
    return order
