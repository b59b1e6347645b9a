"""The baseline: TF-IDF of words and pairs, weighed by how much likelier a term is in one class, then a line.

S. Wang and C. Manning, "Baselines and Bigrams", ACL 2012, with TF-IDF for their presence of a term.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from texts import Texts
from threadpoolctl import threadpool_limits

from trainkit.errors import TrainError
from trainkit.served import served_code

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """Log-odds of positive: a text's TF-IDF of length 1, times `weights`, plus `bias`; `terms` are sorted."""

    terms: list[str]
    idf: Floats
    weights: Floats
    bias: float

    def odds(self, texts: Sequence[str]) -> Floats:
        code, numbers = served_code(), {term: number for number, term in enumerate(self.terms)}
        return np.array([self._odds(code.known(text, numbers)) for text in texts])

    def _odds(self, count: Mapping[int, int]) -> float:
        at, times = np.array(list(count), np.intp), np.array(list(count.values()), float)
        values = (1 + np.log(times)) * self.idf[at]
        length = float(np.sqrt(np.square(values).sum())) or 1.0
        return float(values @ self.weights[at]) / length + self.bias


def fitted_words(texts: Texts, min_texts: int, smoothing: float, ridge: float) -> Words:
    vectorizer = TfidfVectorizer(analyzer=served_code().terms, sublinear_tf=True, min_df=min_texts)
    try:
        points = vectorizer.fit_transform(texts.texts)
    except ValueError:  # scikit-learn: no terms remain, or as many are wanted as there are no texts
        raise TrainError(
            f"params.yaml: train.min_texts is {min_texts}; no term is in so many of {len(texts)} texts, write less"
        ) from None
    positive, negative = (
        np.asarray(points[texts.labels == label].sum(axis=0)).ravel() + smoothing for label in (1, 0)
    )
    ratio = np.log(positive / positive.sum()) - np.log(negative / negative.sum())
    with threadpool_limits(limits=1):  # more threads add in another order: other last bits
        line = LogisticRegression(C=ridge, max_iter=500).fit(points.multiply(ratio).tocsr(), texts.labels)
    names = vectorizer.get_feature_names_out().tolist()
    return Words(names, vectorizer.idf_, ratio * line.coef_[0], float(line.intercept_[0]))
