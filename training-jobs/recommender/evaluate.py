"""The newest ratings of every user, ranked by models that saw only the older ones."""

import numpy as np
import pandas as pd
from als import als_scores
from histories import Histories, histories
from model import fitted, train_params
from numpy.typing import NDArray
from plan import Plan
from ranking import Quality, gains_over, quality, summary, top_items
from ratings import read_ratings, split_in_time

from trainkit.documents import write_json
from trainkit.params import read_params
from trainkit.stage import METRICS, run_stage


def evaluate() -> str:
    params, plan = train_params(), read_params("evaluate", Plan)
    older, newest = split_in_time(read_ratings(), plan.test_share)
    known = histories(older, params.items)
    found = {
        "": _tested(known, fitted(known, params.variant, params.ridge).scores(known.seen), newest, plan),
        "baseline_": _tested(known, fitted(known, "baseline", 1.0).scores(known.seen), newest, plan),
        "als_": _tested(known, als_scores(known.seen, plan.als()), newest, plan),
    }
    draws = _draws(len(known.users), plan)
    metrics: dict[str, float] = {"users": float(len(known.users)), "test_ratings": float(len(newest))}
    for prefix, each in found.items():
        metrics |= summary(prefix, each, plan.top, draws)
    metrics |= gains_over(found[""], found["baseline_"], draws)
    write_json(METRICS, metrics)
    return _line(metrics, plan.top)


def _tested(known: Histories, scores: NDArray[np.float32], test: pd.DataFrame, plan: Plan) -> Quality:
    """Films outside the catalogue stay in the truth: what cannot be recommended counts as missed."""
    truth = test.groupby("userId").movieId.agg(frozenset).reindex(known.users)
    return quality(known.items[top_items(scores, known.seen, plan.top)], truth.tolist())


def _draws(users: int, plan: Plan) -> NDArray[np.intp]:
    return np.random.default_rng(plan.seed).integers(0, users, (plan.resamples, users))


def _line(metrics: dict[str, float], top: int) -> str:
    ndcg, recall = f"ndcg_at_{top}", f"recall_at_{top}"
    return (
        f"nDCG@{top} {metrics[ndcg]:.4f} (95% {metrics[f'{ndcg}_low']:.4f} to {metrics[f'{ndcg}_high']:.4f}), "
        f"recall@{top} {metrics[recall]:.4f}; nDCG of popularity {metrics[f'baseline_{ndcg}']:.4f}, "
        f"of ALS {metrics[f'als_{ndcg}']:.4f}"
    )


if __name__ == "__main__":
    run_stage(evaluate)
