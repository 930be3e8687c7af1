from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guardgraph.models.classifier import TextClassifier
from guardgraph.state import BadInput

REFUNDS = ["I want my money back", "please refund the order", "refund me", "the invoice is wrong", "charged me twice"]
PARCELS = ["where is my parcel", "the parcel is late", "track my parcel", "delivery is late", "parcel has not arrived"]
EXAMPLES = [*((text, "billing") for text in REFUNDS), *((text, "shipping") for text in PARCELS)]


@pytest.fixture(scope="module")
def trained() -> TextClassifier:
    return TextClassifier.train(EXAMPLES * 3)


def best(scores: dict[str, float]) -> str:
    return max(scores, key=scores.__getitem__)


def test_texts_are_scored_by_worker_from_0_to_1(trained: TextClassifier) -> None:
    assert trained.labels == ("billing", "shipping")
    for text, worker in [("refund my order please", "billing"), ("is the parcel late?", "shipping")]:
        scores = trained(text)
        assert best(scores) == worker
        assert 0.5 < scores[worker] <= 1
        assert 0 <= min(scores.values()) < 0.5


def test_a_text_without_a_known_term_belongs_to_nobody(trained: TextClassifier) -> None:
    assert trained("zzz qqq") == trained("") == trained("!?") == {"billing": 0.0, "shipping": 0.0}


def test_the_terms_that_drove_a_score_are_named_strongest_first(trained: TextClassifier) -> None:
    terms = trained.top_features("the parcel parcel is unknown", "shipping", 3)

    assert next(iter(terms)) == "parcel"
    assert len(terms) == 3
    assert sorted(terms.values(), reverse=True) == list(terms.values())
    assert trained.top_features("parcel", "billing") == {}
    with pytest.raises(BadInput, match="'sales' is no label; there are: 'billing', 'shipping'"):
        trained.top_features("parcel", "sales")


def test_the_same_examples_give_the_same_classifier() -> None:
    again = TextClassifier.train(iter(EXAMPLES))

    assert again("refund the parcel") == TextClassifier.train(EXAMPLES)("refund the parcel")


def test_examples_of_no_worker_lower_all_scores() -> None:
    chat = [(text, None) for text in ("tell me a joke", "how are you", "what is your name", "a joke please")]
    plain, taught = TextClassifier.train(EXAMPLES * 3), TextClassifier.train([*EXAMPLES, *chat] * 3)

    assert taught.labels == plain.labels
    assert max(taught("please tell me a joke").values()) < max(plain("please tell me a joke").values())


def test_one_worker_can_be_told_from_none() -> None:
    classifier = TextClassifier.train(
        [*((text, "billing") for text in REFUNDS), *((text, None) for text in PARCELS)] * 3
    )

    assert classifier.labels == ("billing",)
    assert classifier("refund the order")["billing"] > 0.5 > classifier("parcel is late")["billing"]


def test_more_than_two_workers_are_scored_independently() -> None:
    words = {"a": "apple", "b": "berry", "c": "cherry"}
    examples = [(f"{word} {number}", name) for name, word in words.items() for number in range(8)]
    classifier = TextClassifier.train(examples)

    assert {name: best(classifier(word)) for name, word in words.items()} == {name: name for name in words}
    assert sum(classifier("apple berry").values()) != pytest.approx(1)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "at least two workers"),
        (EXAMPLES[:5], "at least two workers .* got 1"),
        ([*EXAMPLES, ("one", "sales")], "at least two examples; there is one for 'sales'"),
        ([*EXAMPLES, ("one", None)], "there is one for 'None'"),
        ([*EXAMPLES, ("", "billing")], "an example is a text .* example 10 is"),
        ([*EXAMPLES, ("text", "")], "an example is a text"),
        ([*EXAMPLES, ("text", 3)], "an example is a text"),
        (["text"], "an example is a text .* example 0 is 'text'"),
        ([("!", "a"), ("?", "a"), ("-", "b"), ("+", "b")], "no terms to learn from"),
    ],
)
def test_examples_from_which_nothing_can_be_learned_are_refused(examples: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        TextClassifier.train(examples)


def test_a_saved_classifier_scores_as_before_and_needs_numpy_alone(trained: TextClassifier, tmp_path: Path) -> None:
    path = tmp_path / "classifier.npz"
    trained.save(path)
    trained.save(path)
    program = """
import json, sys
for name in ("sklearn", "scipy", "pickle5"):
    sys.modules[name] = None
from guardgraph.models.classifier import TextClassifier
classifier = TextClassifier.load(sys.argv[1])
print(json.dumps([classifier("refund the parcel"), classifier.top_features("refund the parcel", "billing")]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout) == [
        trained("refund the parcel"),
        trained.top_features("refund the parcel", "billing"),
    ]
    assert [one.name for one in tmp_path.iterdir()] == ["classifier.npz"]


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    program = """
import sys
sys.modules["sklearn"] = None
from guardgraph.models.classifier import TextClassifier
from guardgraph.state import MissingExtra
try:
    TextClassifier.train([("a b", "a"), ("a c", "a"), ("d e", "b"), ("d f", "b")])
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "needs 'scikit-learn'; install it with `pip install 'guardgraph[routing]'`" in done.stdout


def header(path: Path, **changes: Any) -> dict[str, Any]:
    """Return the arrays of a saved classifier, with changes to its header."""
    with np.load(path, allow_pickle=False) as file:
        arrays: dict[str, Any] = dict(file)
    fields = {**json.loads(arrays["header"].tobytes()), **changes}
    return {**arrays, "header": np.frombuffer(json.dumps(fields).encode(), dtype=np.uint8)}


def without(name: str) -> Callable[[Path], dict[str, Any]]:
    return lambda path: {key: array for key, array in header(path).items() if key != name}


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[Path], dict[str, Any]]:
    return lambda path: {**header(path), name: change(header(path)[name])}


def with_nan(array: Any) -> Any:
    array[0, 0] = np.nan
    return array


DAMAGE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "pickle": changed("idf", lambda array: np.array([{"a": 1}] * len(array), dtype=object)),
    "missing": without("weights"),
    "shape": changed("idf", lambda array: array[:-1]),
    "transposed": changed("weights", lambda array: np.ascontiguousarray(array.T)),
    "type": changed("weights", lambda array: array.astype(np.float64)),
    "nan": changed("weights", with_nan),
    "header": changed("header", lambda array: np.frombuffer(b"[1]", dtype=np.uint8)),
    "version": lambda path: header(path, version=2),
    "labels": lambda path: header(path, labels=["billing", "billing"]),
    "label type": lambda path: header(path, labels=["billing", 3]),
    "no labels": lambda path: header(path, labels=[]),
    "slope": lambda path: header(path, slope="steep"),
}
"""The arrays of a file that cannot be used, made of those of a saved classifier."""


def damage(path: Path, kind: str) -> None:
    if kind == "no archive":
        path.write_bytes(b"hello")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        np.savez_compressed(path, **DAMAGE[kind](path))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("no archive", "is no classifier of `TextClassifier.save`: BadZipFile"),
        ("cut", "is no classifier of `TextClassifier.save`"),
        ("pickle", "is no classifier of `TextClassifier.save`: ValueError: Object arrays cannot be loaded"),
        ("missing", "it lacks 'weights'"),
        ("shape", r"`idf` must be float32 of shape \(\d+,\), for \d+ terms and 2 labels; got float32 of shape"),
        ("transposed", r"`weights` must be float32 of shape \(\d+, 2\)"),
        ("type", "got float64 of shape"),
        ("nan", "`weights` holds a number that is not finite"),
        ("header", "its header does not name the format"),
        ("version", "it has version 2 of the format, this release reads 1"),
        ("labels", "`labels` must be unique and not empty"),
        ("label type", "`labels` is no list of texts"),
        ("no labels", "`labels` must be unique and not empty"),
        ("slope", "`slope` is no number"),
    ],
)
def test_a_bad_file_is_refused_with_the_reason(
    trained: TextClassifier, tmp_path: Path, kind: str, message: str
) -> None:
    path = tmp_path / "classifier.npz"
    trained.save(path)
    damage(path, kind)

    with pytest.raises(BadInput, match=message):
        TextClassifier.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no file .*nothing.npz'; `TextClassifier.save` writes one"):
        TextClassifier.load(tmp_path / "nothing.npz")
