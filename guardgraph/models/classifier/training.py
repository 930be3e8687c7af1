"""Learning a text classifier from examples, with scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from guardgraph.models.classifier.features import numpy, terms_in
from guardgraph.models.classifier.parameters import Parameters
from guardgraph.state import BadInput, MissingExtra

__all__ = ("fit",)

_MANY = 1_000
"""From so many examples on, terms that occur in a single one are left out."""
_FOLDS = 3
_NONE = ""
"""The label of examples that belong to no worker."""


def fit(examples: Iterable[tuple[str, str | None]], *, seed: int) -> Parameters:
    """Return the parameters of a linear support vector machine, one worker against the rest, over TF-IDF terms.

    Scores are calibrated by one logistic function for all workers (J. Platt, "Probabilistic outputs for support vector
    machines", 1999), fitted to decision values of cross-validation in 3 folds (2 where a worker has 2 examples). Raises
    `BadInput` for examples from which nothing can be learned, and `MissingExtra` without scikit-learn.
    """
    texts, labels = _checked(examples)
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise MissingExtra("scikit-learn", extra="routing", needed_for="training a text classifier") from error
    np, analyzer = numpy(), cast("Any", terms_in)
    machine: Any = LinearSVC(random_state=seed, max_iter=10_000)
    vectorizer = TfidfVectorizer(analyzer=analyzer, sublinear_tf=True, min_df=2 if len(texts) >= _MANY else 1)
    try:
        features: Any = vectorizer.fit_transform(texts)
    except ValueError as error:
        raise BadInput(f"the examples hold no terms to learn from: {error}") from error
    folds = StratifiedKFold(min(_FOLDS, min(Counter(labels).values())), shuffle=True, random_state=seed)
    machine.fit(features, labels)
    classes: Any = machine.classes_
    kept = [index for index, label in enumerate(classes) if label != _NONE]
    names = [str(classes[index]) for index in kept]
    held_out: Any = cross_val_predict(machine, features, labels, cv=folds, method="decision_function")
    values = _columns(held_out)[:, kept]
    is_label = np.asarray(labels)[:, None] == np.asarray(names)[None, :]
    points, counts = _grouped(values.ravel(), is_label.ravel())
    sigmoid: Any = LogisticRegression().fit(points[:, :1], points[:, 1], sample_weight=counts)
    is_binary = len(machine.coef_) == 1
    weights = np.concatenate([-machine.coef_, machine.coef_]) if is_binary else machine.coef_
    intercepts = np.concatenate([-machine.intercept_, machine.intercept_]) if is_binary else machine.intercept_
    return Parameters(
        labels=tuple(names),
        vocabulary=tuple(map(str, vectorizer.get_feature_names_out())),
        idf=np.asarray(vectorizer.idf_, dtype=np.float32),
        weights=np.ascontiguousarray(weights[kept].T, dtype=np.float32),
        intercepts=np.asarray(intercepts[kept], dtype=np.float32),
        slope=float(sigmoid.coef_[0, 0]),
        offset=float(sigmoid.intercept_[0]),
    )


def _columns(values: Any) -> Any:
    """Return decision values with one column for each class: for two classes scikit-learn gives a single one."""
    return numpy().stack([-values, values], axis=1) if values.ndim == 1 else values


def _grouped(values: Any, targets: Any) -> tuple[Any, Any]:
    """Return the distinct pairs of a decision value, rounded to thousandths, and a target, and how often each occurs.

    There are as many values as examples times workers, of which most are alike.
    """
    pairs = numpy().stack([values.round(3), targets], axis=1)
    return numpy().unique(pairs, axis=0, return_counts=True)


def _checked(examples: Iterable[tuple[str, str | None]]) -> tuple[list[str], list[str]]:
    """Return texts and labels. Raises `BadInput` that names what does not fit."""
    texts, labels = list[str](), list[str]()
    for number, example in enumerate(examples):
        match example:
            case (str(text), str() | None as label) if text.strip() and label != _NONE:
                texts.append(text)
                labels.append(_NONE if label is None else label)
            case _:
                what = "an example is a text that is not empty, and the name of a worker (or `None` for no worker)"
                raise BadInput(f"{what}; example {number} is {example!r:.100}")
    counts = Counter(labels)
    if len(counts) < 2:
        raise BadInput(
            f"a classifier needs examples of at least two workers (or of one and of none), got {len(counts)}"
        )
    rare = [label or "None" for label, count in counts.items() if count < 2]
    if rare:
        raise BadInput(f"every worker needs at least two examples; there is one for {', '.join(map(repr, rare[:5]))}")
    return texts, labels
