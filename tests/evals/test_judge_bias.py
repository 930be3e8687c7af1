"""A planted bias of a judge is found, a fair judge is left alone, and real verdicts give the published figures."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from random import Random
from typing import Any

import pytest
from scipy.stats import binomtest, fisher_exact

from guardgraph.agents import Agent
from guardgraph.evals import JudgeRecord, agreement_bias, position_bias, record_of, verbosity_bias
from guardgraph.graphs import consensus
from guardgraph.state import BadInput
from tests.graphs.panels import Sent, final_state, scored
from tests.public_data import public_data


def cases(random: Random, n: int, *, follows: float, blind: bool = False) -> list[JudgeRecord]:
    """Return decisions of a judge that is right in 80 %, and follows a majority that it sees in `follows` of the cases.

    Five panelists choose among three candidates, and are right in 60 % each.
    """
    records: list[JudgeRecord] = []
    for _ in range(n):
        votes = ["right" if random.random() < 0.6 else random.choice(["wrong 1", "wrong 2"]) for _ in range(5)]
        support = {name: votes.count(name) for name in ("right", "wrong 1", "wrong 2")}

        def judged() -> str:
            return "right" if random.random() < 0.8 else random.choice(["wrong 1", "wrong 2"])

        by_itself = judged()
        chosen = max(support, key=lambda name: support[name]) if random.random() < follows else judged()
        records.append(JudgeRecord(chosen, support, correct="right", blind=by_itself if blind else None))
    return records


@pytest.mark.parametrize("blind", [False, True])
def test_a_judge_that_follows_the_majority_is_found_and_a_fair_one_is_not(blind: bool) -> None:
    seeds = range(300)

    def share_found(follows: float) -> float:
        samples = (cases(Random(seed), 400, follows=follows, blind=blind) for seed in seeds)
        return sum(agreement_bias(sample, equally_hard=not blind).found for sample in samples) / len(seeds)

    assert share_found(follows=0.5) >= 0.95
    assert share_found(follows=0.0) <= 0.01  # alpha


def test_hard_cases_deceive_the_test_with_known_answers_but_not_the_one_with_blind_choices() -> None:
    """The judge and the panel err together, on hard cases; nobody follows anybody."""

    def confounded(random: Random) -> list[JudgeRecord]:
        records: list[JudgeRecord] = []
        for _ in range(400):
            skill = random.choice([0.95, 0.3])
            votes = ["right" if random.random() < skill else "wrong" for _ in range(5)]
            support = {name: votes.count(name) for name in ("right", "wrong")}
            chosen, blind = ("right" if random.random() < skill else "wrong" for _ in range(2))
            records.append(JudgeRecord(chosen, support, correct="right", blind=blind))
        return records

    seeds = range(100)
    with_blind = [agreement_bias(confounded(Random(seed))).found for seed in seeds]
    without = [agreement_bias(confounded(Random(seed)), equally_hard=True).found for seed in seeds]

    assert sum(with_blind) <= 1
    assert sum(without) > 90  # as its documentation warns


@pytest.mark.parametrize(("follows", "wrong", "erred"), [(8, 10, 3), (0, 10, 0), (10, 10, 20), (5, 10, 10)])
def test_the_p_value_is_that_of_fishers_exact_test(follows: int, wrong: int, erred: int) -> None:
    right = 20
    records = [
        *(JudgeRecord("m" if number < follows else "c", {"m": 3, "c": 2}, correct="c") for number in range(wrong)),
        *(JudgeRecord("c" if number < erred else "m", {"m": 3, "c": 2}, correct="m") for number in range(right)),
    ]
    report = agreement_bias(records, equally_hard=True)
    expected = fisher_exact([[follows, wrong - follows], [erred, right - erred]], alternative="greater")

    assert report.p_value == pytest.approx(expected[1])
    assert report.effect == pytest.approx(follows / wrong - erred / right)
    assert (report.n, report.alike) == (30, pytest.approx(0.4))


@pytest.mark.parametrize(("toward", "away"), [(0, 0), (5, 1), (30, 9), (4, 12)])
def test_the_p_value_of_changes_is_that_of_the_binomial_test(toward: int, away: int) -> None:
    records = [
        *(JudgeRecord("m", {"m": 3, "c": 2}, blind="c") for _ in range(toward)),
        *(JudgeRecord("c", {"m": 3, "c": 2}, blind="m") for _ in range(away)),
        *(JudgeRecord("m", {"m": 3, "c": 2}, blind="m") for _ in range(10)),
    ]
    n = toward + away
    expected = binomtest(toward, n, alternative="greater").pvalue if n else 1.0

    assert agreement_bias(records).p_value == pytest.approx(expected)
    assert agreement_bias(records).effect == (toward - away) / (n + 10)


def test_an_effect_counts_only_where_it_is_large_enough_and_no_chance() -> None:
    small = [("a", "b")] * 40 + [("b", "a")] * 10 + [("a", "a")] * 950
    chance = [("a", "b")] * 4 + [("b", "a")] * 1

    assert [position_bias(pairs).found for pairs in (small, chance)] == [False, False]
    assert position_bias(small).p_value < 0.01
    assert position_bias(small, least=0.01).found
    assert position_bias([*chance, ("a", None), (None, "b")]).n == 5  # ties are left out


def test_a_preference_for_length_is_found() -> None:
    random, records = Random(1), list[JudgeRecord]()
    for _ in range(200):
        correct = random.choice(["long", "short"])
        chosen = "long" if random.random() < 0.4 else correct
        records.append(JudgeRecord(chosen, {}, correct=correct, lengths={"long": 900, "short": 300}))
    report = verbosity_bias(records)

    assert report.found
    assert report.effect == pytest.approx(0.4, abs=0.1)
    assert str(report).startswith("verbosity bias found: effect +0.")


def test_records_that_can_show_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="no record can show a bias to the majority: each needs `blind`"):
        agreement_bias([JudgeRecord("a", {"a": 2, "b": 1}, correct="a")])
    with pytest.raises(BadInput, match="no record can show a bias to the majority: each needs `correct`"):
        agreement_bias([JudgeRecord("a", {"a": 2, "b": 1}, blind="a")], equally_hard=True)
    with pytest.raises(BadInput, match="no record can show a bias to the longest"):
        verbosity_bias([])


def test_the_record_of_a_consensus_names_choice_support_and_lengths() -> None:
    sent = Sent()
    panel = sent.panel({"ok": True}, {"ok": False, "why": "x"}, {"ok": True})
    decision = final_state(consensus(panel, judge=sent.judge({"ok": True})))["decision"]
    record = record_of(decision, correct=False, key=lambda answer: answer["ok"] if isinstance(answer, dict) else answer)

    assert (record.chosen, record.majority, record.correct) == ("true", "true", "false")
    assert (record.support, record.lengths) == ({"true": 2, "false": 1}, {"true": 11, "false": 22})


def test_a_new_value_is_no_choice() -> None:
    def judge(request: Any) -> dict[str, Any]:
        scores = scored(request, lambda value: 5).model_dump(mode="json")
        return {**scores, "value": 3, "based_on": ["A", "B"]}

    decision = final_state(consensus(Sent().panel(1, 2), judge=Agent("judge", run=judge), synthesize=True))["decision"]

    with pytest.raises(BadInput, match="no choice of one candidate, but rests on 2"):
        record_of(decision)


# Real verdicts of judges on LLMBar (github.com/princeton-nlp/LLMBar), in both orders


def verdicts(subset: str, strategy: str) -> dict[str, dict[int, tuple[str, str | None, str | None]]]:
    """Return gold and both verdicts of each judge, by case; `a` is what is shown first in the first order."""
    found: defaultdict[str, dict[int, tuple[str, str | None, str | None]]] = defaultdict(dict)
    names = {"1": "a", "2": "b"}
    with gzip.open(public_data("llmbar") / "recorded_verdicts.jsonl.gz", "rt", encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            of, case, gold, judge, how, original, swapped = json.loads(line)
            if of.endswith(subset) and how == strategy:
                found[judge][case] = (names[str(gold)], names.get(original), names.get(swapped))
    return found


def test_the_figures_of_gpt_4_are_those_published() -> None:
    given = [*verdicts("Natural", "Vanilla")["GPT-4"].values()]

    assert len(given) == 100
    assert sum((one == gold) + (two == gold) for gold, one, two in given) / 200 == pytest.approx(0.955)
    assert sum(one != two for _, one, two in given) == 5  # 95 % agree with themselves
    assert not position_bias([(one, two) for _, one, two in given]).found


def test_judges_with_a_position_bias_are_found() -> None:
    reports = {
        judge: position_bias([(one, two) for _, one, two in of_judge.values()])
        for judge, of_judge in verdicts("Natural", "Vanilla").items()
    }

    assert reports["LLaMA2"].found or reports["Falcon"].found
    assert not reports["GPT-4"].found


def test_judges_that_saw_no_panel_follow_none_as_the_test_with_blind_choices_finds() -> None:
    """The other judges are the panel, in both orders; the verdict in the other order is the blind choice."""
    found: list[tuple[bool, bool]] = []
    for subset in ("Natural", "Neighbor"):
        by_judge = verdicts(subset, "Vanilla")
        for judge, of_judge in by_judge.items():
            panel = [others for name, others in by_judge.items() if name != judge]
            records: list[JudgeRecord] = []
            for case, (gold, one, two) in of_judge.items():
                votes = [vote for others in panel if case in others for vote in others[case][1:]]
                if one and two:
                    records.append(JudgeRecord(one, {x: votes.count(x) for x in "ab"}, correct=gold, blind=two))
            found.append((agreement_bias(records).found, agreement_bias(records, equally_hard=True).found))

    assert [sum(blind for blind, _ in found), sum(gold for _, gold in found)] == [0, 7]
