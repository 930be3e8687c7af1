"""What `import guardgraph.graphs` costs beside `import langgraph.graph`: `python -m bench.import_time`.

Every measurement is a new process. Both sides are read from compiled bytecode, as installed packages are: it is
written to a folder of its own first, so an environment that forbids bytecode does not make our sources look slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from tempfile import TemporaryDirectory

import click

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show

_CPU, _MEMORY = "CPU ms", "memory MB"
_OURS, _PEER = "guardgraph.graphs", "langgraph.graph"
_PROGRAM = """
import resource, sys, time
begun = time.process_time()
__import__(sys.argv[1])
spent = time.process_time() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(spent * 1000, peak / (2**20 if sys.platform == "darwin" else 2**10))
"""
_COMPARISONS = (
    Comparison(_OURS, _PEER, _CPU, at_most=1.10),
    Comparison(_OURS, _PEER, _MEMORY, at_most=10, by="difference"),
)


@click.command(help=__doc__)
@common_options(rounds=21)
def main(rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    with TemporaryDirectory() as bytecode:
        contestants = [_contestant(module, bytecode) for module in (_OURS, _PEER)]
        report = Report("The import, each in a new process", compete(contestants, rounds=rounds), _COMPARISONS)
    show([report], versions=("guardgraph", "langgraph", "langchain-core", "pydantic"), as_json=as_json)


def _contestant(module: str, bytecode: str) -> Contestant:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _PROGRAM, module]

    def measure() -> Mapping[str, float]:
        environment = {**kept, "PYTHONPYCACHEPREFIX": bytecode}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        cpu, memory = map(float, done.stdout.split())
        return {_CPU: cpu, _MEMORY: memory}

    return Contestant(module, measure)


if __name__ == "__main__":
    main()
