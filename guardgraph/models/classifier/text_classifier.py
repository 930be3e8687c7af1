"""A classifier of texts by worker."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

from guardgraph.models.classifier import file
from guardgraph.models.classifier.features import numpy, tfidf
from guardgraph.models.classifier.parameters import Parameters
from guardgraph.models.classifier.training import fit
from guardgraph.state import BadInput

__all__ = ("TextClassifier",)


class TextClassifier:
    """Scores a text by worker, each from 0 to 1: TF-IDF over words and pairs of words, and a linear model.

    A score is the estimated probability that a text belongs to that worker; scores of several workers do not add up to
    1, and a text that is like no example has low scores for all. Training needs the extra `routing`; loading and
    scoring need NumPy alone. It may be called from any thread.
    """

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._index = {term: index for index, term in enumerate(parameters.vocabulary)}

    @classmethod
    def train(cls, examples: Iterable[tuple[str, str | None]], *, seed: int = 0) -> TextClassifier:
        """Return a classifier that is trained from pairs of a text and the name of its worker.

        Examples with `None` belong to no worker: they teach it to abstain. Every worker needs two examples at least;
        some twenty to a hundred each are usual. The same examples and `seed` give the same classifier. Raises
        `BadInput` for examples that do not fit, and `MissingExtra` without scikit-learn.
        """
        return cls(fit(examples, seed=seed))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TextClassifier:
        """Return the classifier in a file that `save` has written; nothing in it is executed.

        Raises `BadInput` that names what is wrong with the file.
        """
        return cls(file.read(path))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the classifier to a file in NumPy's format `.npz`; a file of that name is replaced at once."""
        file.write(self._parameters, path)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the workers, in alphabetical order."""
        return self._parameters.labels

    def __call__(self, text: str) -> dict[str, float]:
        """Return the score of each worker, from 0 to 1; 0 for all where the text has no known term."""
        learned = self._parameters
        weights = tfidf(text, self._index, learned.idf)  # type: ignore[arg-type] - an array is a sequence here
        if not weights:
            return dict.fromkeys(learned.labels, 0.0)
        np, indices = numpy(), list(weights)
        values = np.asarray(list(weights.values()), dtype=np.float32) @ learned.weights[indices] + learned.intercepts
        exponents = np.clip(learned.slope * values.astype(np.float64) + learned.offset, -500, 500)
        return dict(zip(learned.labels, (1 / (1 + np.exp(-exponents))).tolist(), strict=True))

    def top_features(self, text: str, label: str, count: int = 5) -> dict[str, float]:
        """Return the terms of a text that contribute most to the score of a worker, and by how much.

        At most `count` terms with a positive share of the decision value, the strongest first. Raises `BadInput` for an
        unknown label.
        """
        learned = self._parameters
        if label not in learned.labels:
            raise BadInput(f"{label!r} is no label; there are: {', '.join(map(repr, learned.labels))}")
        column = learned.labels.index(label)
        weights = tfidf(text, self._index, learned.idf)  # type: ignore[arg-type] - an array is a sequence here
        shares = {
            learned.vocabulary[index]: weight * float(learned.weights[index, column])
            for index, weight in weights.items()
        }
        strongest = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:count]
        return {term: share for term, share in strongest if share > 0}
