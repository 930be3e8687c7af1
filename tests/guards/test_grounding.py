"""A claim rests on words that stand in a declared source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.guards import Grounding, Retry
from guardgraph.state import BadGraph, Evidence, Verdict
from tests.guards.views import view_of_result

TEXT = "# Prices\n\nThe basic plan costs ten\neuros a month.\nThe large plan costs forty euros.\n|---|---|---|\n"


def judged(quote: str, locator: str = "", *, text: str = TEXT, minimum: int = 8) -> Verdict:
    """Judge a claim that rests on one quote of a source with `text`."""
    evidence = Evidence(source="a.md", quote=quote, locator=locator)
    return Grounding({}, minimum=minimum)(view_of_result("so", evidence=(evidence,), sources={"a.md": text}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a source, beside a file that is none."""
    inside = tmp_path / "docs"
    (inside / "more").mkdir(parents=True)
    (inside / "a.md").write_text(TEXT, encoding="utf-8")
    (inside / "more" / "b.md").write_text("More about prices.", encoding="utf-8")
    (tmp_path / "secret.md").write_text("The password is hidden here.", encoding="utf-8")
    return inside


def read(folder: Path | str, name: str) -> str | None:
    return Grounding(folder).read(Evidence(source=name, quote="x"))


@pytest.mark.parametrize(
    "quote",
    [
        "The large plan costs forty euros.",
        "costs ten\neuros a month",
        "costs ten euros a month",
        "  The   basic plan\tcosts ten\r\neuros\u00a0a month. ",
        "The large plan costs for\u00adty euros.",
        "\uff34\uff48\uff45 large plan costs forty euros\uff0e",
        "Prices The basic plan",
    ],
)
def test_a_verbatim_quote_passes_whatever_its_white_space(quote: str) -> None:
    assert judged(quote).action == "pass"


@pytest.mark.parametrize(
    "quote",
    [
        "The large plan costs fifty euros.",
        "the large plan costs forty euros.",
        "The large plan costs forty euros!",
        "The large plan ... forty euros.",
        "The l\u0430rge plan costs forty euros.",
        "The large plan costs f\u043erty euros.",
        "The large\u200b plan costs forty euros.",
        "The large plan costs \ufb01fty euros.",
        "Thelarge plan costs forty euros.",
        "The basic plan costs forty euros.",
    ],
    ids=[
        "a word", "case", "a mark", "ellipsis", "cyrillic a", "cyrillic o", "zero width", "ligature", "blank", "spliced"
    ],
)  # fmt: skip
def test_a_quote_that_is_not_verbatim_trips(quote: str) -> None:
    verdict = judged(quote)

    assert verdict.action == "trip"
    assert "is not in 'a.md'" in verdict.reason


@pytest.mark.parametrize("quote", [" ", "\n\t ", "plan", "|---|---|---|", "a b c d", "\u200b" * 9, "\ufffd" * 9])
def test_what_proves_nothing_is_too_short(quote: str) -> None:
    verdict = judged(quote, text=f"{TEXT} {quote}")

    assert verdict.action == "trip"
    assert "is too short to prove anything" in verdict.reason


@pytest.mark.parametrize(("quote", "action"), [("ten eur", "trip"), ("ten euro", "trip"), ("ten euros", "pass")])
def test_letters_and_digits_are_counted(quote: str, action: str) -> None:
    assert judged(quote).action == action


@pytest.mark.parametrize(
    ("text", "quote", "action"),
    [
        ("They are unable to pay.", "able to pay", "trip"),
        ("It costs 115 euros.", "15 euros", "trip"),
        ("It costs 15 euros 50.", "costs 15 euros 5", "trip"),
        ("They are unable to pay; we are able to pay.", "able to pay", "pass"),
        ("the (able to pay) list", "able to pay", "pass"),
        ("-15 degrees at night", "15 degrees", "trip"),
        ("It costs 1,500.00 USD.", "500.00 USD", "trip"),
        ("It costs 1,500.00 USD.", "It costs 1", "trip"),
        ("It grew by 3.75 percent.", "75 percent", "trip"),
        ("From 2024-01-05 on", "01-05 on", "trip"),
        ("It costs 1,500.00 USD.", "costs 1,500.00 USD", "pass"),
        ("In 2024. 15 came.", "15 came", "pass"),
        ("the COVID-19 wave", "19 wave", "pass"),
        ("我们的价格是十二欧元", "价格是十二欧元", "pass"),
        ("Das Café öffnet früh.", "Das Café öffnet", "pass"),
    ],
)
def test_a_quote_cuts_no_word_and_no_number(text: str, quote: str, action: str) -> None:
    said = view_of_result("so", evidence=(Evidence(source="a.md", quote=quote),), sources={"a.md": text})

    assert Grounding({}, minimum=4)(said).action == action


@pytest.mark.parametrize(("minimum", "action"), [(3, "pass"), (4, "pass"), (5, "trip")])
def test_the_minimum_can_be_chosen(minimum: int, action: str) -> None:
    assert judged("plan", minimum=minimum).action == action


@pytest.mark.parametrize(
    ("locator", "action"),
    [
        ("4", "trip"),
        ("5", "pass"),
        ("6", "trip"),
        ("L5", "pass"),
        ("#L5-L6", "pass"),
        ("line 5", "pass"),
        ("Lines 4-5", "pass"),
        ("4 \u2013 5", "pass"),
        ("3\u20134", "trip"),
        ("1-4", "trip"),
        ("5-4", "trip"),
        ("0", "trip"),
        ("0-5", "trip"),
        ("5-7", "pass"),
        ("5-8", "trip"),
        ("999999999", "trip"),
        ("", "pass"),
        ("  5 ", "pass"),
        ("page 9", "pass"),
        ("5, 6", "pass"),
    ],
)
def test_lines_must_hold_the_quote_and_other_locators_are_not_checked(locator: str, action: str) -> None:
    assert judged("The large plan costs forty euros.", locator).action == action


@pytest.mark.parametrize(("locator", "action"), [("3", "trip"), ("4", "trip"), ("3-4", "pass"), ("4-5", "trip")])
def test_lines_must_hold_the_whole_of_a_quote_that_spans_some(locator: str, action: str) -> None:
    verdict = judged("costs ten euros a month", locator)

    assert verdict.action == action
    assert action == "pass" or f"is not in lines {locator} of 'a.md'" in verdict.reason


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_an_editor_ends_them(end: str) -> None:
    text = f"one\fpage\u2028still one{end}two{end}the third line"

    assert judged("the third line", "3", text=text).action == "pass"


def test_a_source_that_is_none_trips_and_is_named() -> None:
    evidence = Evidence(source="b.md", quote="The large plan costs forty euros.")

    verdict = Grounding({})(view_of_result("so", evidence=(evidence,), sources={"a.md": TEXT}))

    assert verdict.reason == "'b.md' is not one of the sources, or cannot be read"


def test_one_wrong_quote_among_right_ones_trips() -> None:
    right = Evidence(source="a.md", quote="The large plan costs forty euros.")
    wrong = Evidence(source="a.md", quote="The large plan costs fifty euros.")

    verdict = Grounding({})(view_of_result("so", evidence=(right, wrong), sources={"a.md": TEXT}))

    assert (verdict.action, verdict.measured) == ("trip", 2)
    assert "fifty" in verdict.reason


@pytest.mark.parametrize("value", ["so", 0, False, 0.0, [0], {"claims": ["so"]}, {"total": 0}, [[], [None, "x"]]])
def test_a_claim_without_evidence_trips(value: Any) -> None:
    verdict = Grounding({})(view_of_result(value))

    assert (verdict.action, verdict.reason) == ("trip", "the answer names no evidence: quote its sources verbatim")


@pytest.mark.parametrize("value", [None, "", " \n", [], {}, {"claims": [], "note": ""}, [[], None]])
def test_nothing_found_needs_no_evidence(value: Any) -> None:
    assert Grounding({})(view_of_result(value)).action == "pass"


def test_a_reason_stays_short_however_long_the_quote() -> None:
    assert len(judged("word " * 20_000).reason) < 400
    assert len(judged(" " * 99_999 + "a").reason) < 400


def test_a_refused_claim_is_tried_once_more_by_default() -> None:
    assert Grounding({}).on_trip == Retry(1)


@pytest.mark.parametrize("name", ["a.md", "./a.md", "more/b.md", "more/../a.md"])
def test_a_file_in_the_folder_is_a_source(folder: Path, name: str) -> None:
    assert read(folder, name)
    assert read(str(folder), name)


@pytest.mark.parametrize(
    "name",
    [
        "absent.md", "../secret.md", "more/../../secret.md", ".", "..", "more", "/etc/passwd", "~/secret.md",
        "a.md\0", "\0", "x" * 4_096, "x/" * 2_000, "file:a.md", "a.md/b", " ",
    ],
)  # fmt: skip
def test_whatever_is_no_file_in_the_folder_is_no_source(folder: Path, name: str) -> None:
    assert read(folder, name) is None


def test_an_absolute_path_is_a_source_only_in_the_folder(folder: Path) -> None:
    assert read(folder, str(folder / "a.md")) == TEXT
    assert read(folder, str(folder.parent / "secret.md")) is None


def test_a_folder_whose_name_only_begins_the_same_is_outside(folder: Path) -> None:
    beside = folder.parent / "docs-private"
    beside.mkdir()
    (beside / "a.md").write_text("private", encoding="utf-8")

    assert read(folder, "../docs-private/a.md") is None


def test_a_link_is_a_source_only_if_it_stays_in_the_folder(folder: Path) -> None:
    (folder / "out.md").symlink_to(folder.parent / "secret.md")
    (folder / "up").symlink_to(folder.parent)
    (folder / "in.md").symlink_to(folder / "a.md")
    (folder / "circle.md").symlink_to(folder / "circle.md")

    assert [read(folder, name) for name in ("out.md", "up/secret.md", "in.md", "circle.md")] == [None, None, TEXT, None]


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)

    assert read(folder.parent / "link", "a.md") == TEXT


@pytest.mark.parametrize("data", [b"\x7fELF\0\1\2", "The large plan".encode("utf-16"), b"text\0text"])
def test_a_binary_file_is_no_source(folder: Path, data: bytes) -> None:
    (folder / "binary").write_bytes(data)

    assert read(folder, "binary") is None


def test_a_text_in_another_encoding_is_read_as_far_as_it_goes(folder: Path) -> None:
    (folder / "latin.txt").write_bytes("Le caf\u00e9 est ouvert".encode("latin-1"))

    assert read(folder, "latin.txt") == "Le caf\ufffd est ouvert"


def test_a_file_that_cannot_be_read_is_no_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)

    assert read(folder, "a.md") is None


@pytest.mark.parametrize(("size", "is_source"), [(100_000_000, True), (100_000_001, False)])
def test_only_a_file_larger_than_the_limit_is_no_source(
    folder: Path, size: int, is_source: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (folder / "large.md").open("wb") as file:
        file.truncate(size)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "read")

    assert (read(folder, "large.md") == "read") is is_source


def test_a_missing_folder_has_no_sources(folder: Path) -> None:
    assert read(folder / "absent", "a.md") is None


def test_sources_may_be_a_mapping_or_a_function() -> None:
    evidence = Evidence(source="a", quote="x")

    assert Grounding({"a": "text"}).read(evidence) == "text"
    assert Grounding({}).read(evidence) is None
    assert Grounding({"a": "text"}.get).read(evidence) == "text"


@pytest.mark.parametrize("sources", [None, 3, ["a.md"], b"docs"])
def test_what_holds_no_sources_is_refused(sources: Any) -> None:
    with pytest.raises(BadGraph, match=r"`sources` must be str \| Path \| Mapping.* \| Callable.*, got"):
        Grounding(sources)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="`sources` is an empty path; name a folder"):
        Grounding("")


def test_a_minimum_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="`minimum` must be at least 1, got 0"):
        Grounding({}, minimum=0)


def test_many_quotes_of_a_huge_source_are_checked() -> None:
    text = "\n".join(f"Line {number} says something about plan {number}." for number in range(1, 200_001))
    quotes = tuple(
        Evidence(source="a.md", quote=f"says something about plan {number}.", locator=str(number))
        for number in range(1, 200_001, 4_000)
    )

    verdict = Grounding({})(view_of_result("so", evidence=quotes, sources={"a.md": text}))

    assert verdict.action == "pass"


LINES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=30), min_size=1, max_size=9
)


@given(LINES, st.data())
def test_whole_lines_of_a_source_always_stand_in_it_and_there(lines: list[str], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(lines) - 1))
    last = data.draw(st.integers(first, len(lines) - 1))
    quote = "\n".join([*lines[first : last + 1]]) + " "
    verdict = judged(quote, f"{first + 1}-{last + 1}", text="\n".join(lines))

    assert (verdict.action == "pass") == (sum(map(str.isalnum, quote)) >= 8)


@given(LINES, st.text(min_size=8, max_size=40))
def test_no_quote_passes_whose_words_are_not_in_the_source(lines: list[str], quote: str) -> None:
    verdict = judged(quote, text="\n".join(lines), minimum=1)

    assert verdict.action == "trip" or " ".join(quote.split()) in " ".join("\n".join(lines).split())


HELD = {"source": "a.md", "quote": "The large plan costs forty euros."}
WRONG = {"source": "a.md", "quote": "The large plan costs fifty euros."}
PRICE = {"subject": "large plan", "attribute": "price", "value": "40 euros"}


def about(claims: Any, critical: Any, *, evidence: tuple[Evidence, ...] = ()) -> Verdict:
    """Judge claims as the value of a result."""
    return Grounding({}, critical=critical)(view_of_result(claims, evidence=evidence, sources={"a.md": TEXT}))


@pytest.mark.parametrize(
    ("claim", "critical", "action"),
    [
        ({**PRICE, "critical": True, "evidence": [HELD]}, True, "pass"),
        ({**PRICE, "critical": True, "evidence": []}, True, "trip"),
        ({**PRICE, "critical": True}, True, "trip"),
        ({**PRICE, "critical": True}, False, "pass"),
        (PRICE, True, "pass"),
        (PRICE, lambda claim: claim.attribute == "price", "trip"),
        (PRICE, lambda claim: claim.attribute == "name", "pass"),
        ({**PRICE, "evidence": [HELD]}, lambda claim: True, "pass"),
        ({**PRICE, "critical": True, "evidence": [HELD, WRONG]}, True, "trip"),
        ({**PRICE, "evidence": [WRONG]}, False, "trip"),
    ],
)
def test_a_critical_claim_needs_a_quote_of_its_own_that_holds(claim: Any, critical: Any, action: str) -> None:
    whole = (Evidence(source="a.md", quote="The basic plan costs ten"),)

    for value in (claim, [claim], {"claims": [claim], "reasoning": "so"}):
        assert about(value, critical, evidence=whole).action == action


def test_the_reason_names_the_critical_claim_without_evidence() -> None:
    verdict = about([{**PRICE, "evidence": [HELD]}, PRICE], lambda claim: True)

    assert verdict.reason == (
        "the critical claim 'large plan: price: 40 euros' has no evidence of its own: quote its source verbatim"
    )


def test_the_evidence_of_claims_alone_is_evidence() -> None:
    assert about([{**PRICE, "evidence": [HELD]}], False).action == "pass"
    assert about([PRICE], False).reason == "the answer names no evidence: quote its sources verbatim"


def test_a_field_that_only_looks_like_evidence_is_none() -> None:
    assert about({**PRICE, "evidence": "see a.md"}, lambda claim: True).action == "trip"


@pytest.mark.parametrize("critical", ["price", 1, None])
def test_critical_is_a_switch_or_a_function(critical: Any) -> None:
    with pytest.raises(BadGraph, match="`critical` must be"):
        Grounding({}, critical=critical)
