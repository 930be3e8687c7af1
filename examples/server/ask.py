"""Ask the teams that `langgraph dev` serves: on threads, streamed, with an answer of a human, and as a graph.

Start the server in this folder, then run `python ask.py`, with its address if it is not http://127.0.0.1:2024.
"""

from __future__ import annotations

import sys
from typing import Any

from langgraph.pregel.remote import RemoteGraph
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient


def main(url: str) -> None:
    """Print what each team says."""
    with get_sync_client(url=url) as client:
        ask(client)


def ask(client: SyncLangGraphClient) -> None:
    """Ask each team once."""
    thread = client.threads.create()["thread_id"]
    told: Any = client.runs.wait(thread, "research", input={"task": "What does a reserve pay for?"})
    print("research:", told["outcome"]["status"], "with", len(told["outcome"]["value"]["citations"]), "citations")

    thread = client.threads.create()["thread_id"]
    for task in ("What do the vendors charge?", "And now?"):  # two turns on one thread
        for part in client.runs.stream(thread, "vendors", input={"task": task}, stream_mode="updates"):
            print("vendors:", part.event, ", ".join(part.data) if part.event == "updates" else "")
    state: Any = client.threads.get_state(thread)
    print("vendors:", state["values"]["outcome"]["value"])

    thread = client.threads.create()["thread_id"]
    told = client.runs.wait(thread, "approval", input={"task": "ten chairs"})
    for question in told["__interrupt__"]:
        print("approval:", question["value"]["question"], question["value"]["draft"])
    answers = {question["id"]: "yes" for question in told["__interrupt__"]}
    told = client.runs.wait(thread, "approval", command={"resume": answers})
    print("approval:", told["outcome"]["value"])

    remote = RemoteGraph("vendors", sync_client=client)
    print("as a graph:", remote.invoke({"task": "What do the vendors charge?"})["outcome"]["value"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:2024")
