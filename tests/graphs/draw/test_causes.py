"""Events and their causes as Mermaid text."""

from __future__ import annotations

from guardgraph.graphs.draw.causes import causes_as_mermaid
from guardgraph.state import Event


def test_an_arrow_leads_from_a_cause_to_what_it_has_caused() -> None:
    first = Event(type="order.placed", source="shop", id="1", subject='<b>"7"')
    second = Event(type="order.paid", source="billing", id="2", caused_by=first.ref, depth=1)
    third = Event(type="odd", source="x", id="3", caused_by="not/there")

    assert causes_as_mermaid([first, second, third]).splitlines() == [
        "graph LR",
        '    e0["order.placed · shop · &lt;b&gt;&quot;7&quot;"]',
        '    e1["order.paid · billing"]',
        '    e2["odd · x"]',
        "    e0 --> e1",
    ]
