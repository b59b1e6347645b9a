"""The newest ratings of every user, ranked by models that saw only the older ones."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from als import als_scores
from histories import Histories, histories, histories_of
from model import TrainParams, fitted, train_params
from numpy.typing import NDArray
from plan import Plan, evaluation
from ranking import Quality, gains_over, quality, summary, top_items
from ratings import read_ratings, split_in_time

from trainkit.documents import write_json
from trainkit.scores import Bootstrap
from trainkit.stage import METRICS, run_stage


def evaluate() -> str:
    params, plan, ratings = train_params(), evaluation(), read_ratings()
    popular = replace(params, variant="baseline")
    older, newest = split_in_time(ratings, plan.test_share)
    known = histories(older, params.items)
    found = {
        "": _tested(known, fitted(known, params).scores(known.seen), newest, plan),
        "baseline_": _tested(known, fitted(known, popular).scores(known.seen), newest, plan),
        "als_": _tested(known, als_scores(known.seen, plan.als()), newest, plan),
    }
    met = {name: met_strangers(ratings, each, plan) for name, each in (("", params), ("baseline_", popular))}
    metrics = {"users": float(len(known.users)), "test_ratings": float(len(newest))}
    metrics |= _summaries("", found, plan) | _summaries("stranger_", met, plan)
    write_json(METRICS, metrics)
    return _line(metrics, plan.top)


def met_strangers(ratings: pd.DataFrame, params: TrainParams, plan: Plan) -> Quality:
    """Users that no model was fitted on: their first films are what they say, the later ones are what they want."""
    users = np.unique(ratings.userId)
    apart = ratings.userId.isin(users[1 :: plan.stranger_every])
    model = fitted(histories(ratings[~apart], params.items), params)
    ordered = ratings[apart].sort_values(["userId", "timestamp", "movieId"])
    first = ordered.groupby("userId").head(plan.stranger_films)
    said = histories_of(first, np.unique(first.userId), model.known.items)
    return _tested(said, model.scores(said.seen), ordered.drop(first.index), plan)


def _summaries(prefix: str, found: Mapping[str, Quality], plan: Plan) -> dict[str, float]:
    """The gain is over what is called `baseline_`; all resample the same users."""
    bootstrap = Bootstrap(len(found[""].ndcg), plan.seed, plan.resamples)
    metrics: dict[str, float] = {}
    for name, each in found.items():
        metrics |= summary(name + prefix, each, plan.top, bootstrap)
    gains = gains_over(found[""], found["baseline_"], bootstrap)
    return metrics | {prefix + name: value for name, value in gains.items()}


def _tested(known: Histories, scores: NDArray[np.float32], test: pd.DataFrame, plan: Plan) -> Quality:
    """Films outside the catalogue stay in the truth: what cannot be recommended counts as missed."""
    truth = test.groupby("userId").movieId.agg(frozenset).reindex(known.users)
    return quality(known.items[top_items(scores, known.seen, plan.top)], truth.tolist())


def _line(metrics: dict[str, float], top: int) -> str:
    ndcg, recall = f"ndcg_at_{top}", f"recall_at_{top}"
    return (
        f"nDCG@{top} {metrics[ndcg]:.4f} (95% {metrics[f'{ndcg}_low']:.4f} to {metrics[f'{ndcg}_high']:.4f}), "
        f"recall@{top} {metrics[recall]:.4f}; nDCG of popularity {metrics[f'baseline_{ndcg}']:.4f}, "
        f"of ALS {metrics[f'als_{ndcg}']:.4f}; strangers {metrics[f'stranger_{ndcg}']:.4f}, "
        f"by popularity {metrics[f'baseline_stranger_{ndcg}']:.4f}"
    )


if __name__ == "__main__":
    run_stage(evaluate)
