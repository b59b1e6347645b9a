"""The parameter `explain` of a request: what each part of the input adds to the answer, as outputs beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from time import perf_counter
from typing import NamedTuple

import numpy as np

from v2serve.call import Call
from v2serve.contract import TensorSpec
from v2serve.explain.hidden import hide
from v2serve.explain.plan import MOST_ASKED, Plan
from v2serve.explain.shapley import Shapley
from v2serve.pipeline import Pipeline
from v2serve.protocol import Refusal, shown
from v2serve.tensors import DTYPES, Array
from v2serve.turns import Turns, busy

PARAMETER = "explain"
LONGEST_SECONDS = 2.0  # of a request that is explained: others wait for the same thread
WEIGHTS, BASE, WORDS = "explanation", "explanation_base", "explanation_words"


def asks(parameters: Mapping[str, object]) -> bool:
    """Whether a request wants to be explained; Refusal 400 if it says so in another way than true or false."""
    wish = parameters.get(PARAMETER, False)
    if not isinstance(wish, bool):
        raise Refusal(400, f"parameter {PARAMETER} is {shown(str(wish))}; give true or false")
    return wish


class _Explained(NamedTuple):
    """One row: its weights, what they are measured from, and the words that they are of."""

    weights: Array
    base: float
    words: tuple[bytes, ...] = ()


class Explainer:
    """Asks the pipeline again, in the one thread that explains; holds nothing between requests."""

    def __init__(self, pipeline: Pipeline, plan: Plan, turns: Turns | None = None) -> None:
        self._pipeline = pipeline
        self._turns = turns or Turns()
        self._plan = plan
        contract = pipeline.contract
        specs = {spec.name: spec for spec in (*contract.inputs, *contract.outputs)}
        self._inputs = [specs[name] for name in plan.inputs]
        self._output = specs[plan.output]
        self._rows = {spec.name for spec in contract.inputs if spec.shape[:1] == (-1,)}
        self._shapley: Shapley | None = None
        if plan.kind == "shapley":
            self._shapley = Shapley(np.array(plan.background, DTYPES[self._inputs[0].datatype]))
        self._cost, self._shape = self._sizes()
        self._most = MOST_ASKED // self._cost  # rows of a request
        self._seconds = inf  # of a request, once rehearsed

    def _sizes(self) -> tuple[int, tuple[int, ...]]:
        """Runs that a row needs, and the shape of its explanation; () where it depends on the row."""
        if self._shapley is not None:
            return self._shapley.asked, (self._inputs[0].shape[1],)
        if self._plan.kind == "words":
            return 1 + self._plan.words, ()
        return 1 + self._plan.grid**2, (self._plan.grid,) * 2

    def admit(self, call: Call) -> None:
        """Refusal 400, before anything is computed, if this call cannot be explained."""
        rows = call.feeds[self._given(call).name].shape[0]
        if rows > self._most:
            raise Refusal(
                400,
                f"parameter {PARAMETER}: {rows} rows need {rows * self._cost} runs of the model;"
                f" send at most {self._most} rows",
            )

    def rehearse(self, calls: Sequence[Call], seconds: float) -> None:
        """Explain the first row of a golden request; from then on take no more rows than fit into so many seconds.

        Golden rows may be smaller than others: after LONGEST_SECONDS no further row is begun.
        """
        self._seconds = min(seconds, LONGEST_SECONDS)
        for call in calls:
            if any(name in call.feeds and len(call.feeds[name]) for name in self._plan.inputs):
                begin = perf_counter()
                self._explain(call, self._given(call), 0)
                fitting = int(seconds / (perf_counter() - begin))
                self._most = max(1, min(self._most, fitting))
                return

    def run(self, call: Call) -> Sequence[Array]:
        """The answer, and behind it what explains it; `call.wanted` says so from then on."""
        arrays = self._asked(call)
        given = self._given(call)
        made = _joined(self._rows_explained(call, given), self._shape)
        call.wanted = [*call.wanted, *(spec for spec, _ in made)]
        return [*arrays, *(array for _, array in made)]

    def _rows_explained(self, call: Call, given: TensorSpec) -> list[_Explained]:
        """Row by row; Refusal 400 once the time is spent, for rows may be larger than those of golden requests.

        503 once as much time has been waited: this thread may not be taken for one that hangs.
        """
        begin, count = perf_counter(), call.feeds[given.name].shape[0]
        before = self._turns.waited
        explained: list[_Explained] = []
        for row in range(count):
            if (waited := self._turns.waited - before) > self._seconds:
                raise busy(self._seconds)
            if (spent := perf_counter() - begin - waited) > self._seconds:
                raise Refusal(
                    400,
                    f"parameter {PARAMETER}: {row} of {count} rows took {spent:.1f} s;"
                    f" send at most {row} of this size",
                )
            explained.append(self._explain(call, given, row))
        return explained

    def _asked(self, call: Call) -> Sequence[Array]:
        """One run of the model, for a row or for the answer; other calls are run before it, and after it."""
        with self._turns.behind(self._seconds):
            return self._pipeline.run(call)

    def _given(self, call: Call) -> TensorSpec:
        for spec in self._inputs:
            if spec.name in call.feeds:
                return spec
        raise Refusal(400, f"parameter {PARAMETER}: give input {' or '.join(self._plan.inputs)}")

    def _explain(self, call: Call, given: TensorSpec, at: int) -> _Explained:
        row = call.feeds[given.name][at]
        if self._shapley is not None:
            answers = self._answers(call, given, at, self._shapley.questions(row), asked_last=True)
            return _Explained(*self._shapley.values(answers))
        hidden = hide(row, self._plan)
        answers = self._answers(call, given, at, hidden.rows, asked_last=False).astype(np.float64)
        return _Explained((answers[0] - answers[1:]).reshape(hidden.shape), float(answers[0]), hidden.words)

    def _answers(self, call: Call, given: TensorSpec, at: int, rows: Array, asked_last: bool) -> Array:
        """[rows]; of several classes, the one that is likeliest for what was asked, which is a row of these."""
        count = len(call.feeds[given.name])
        beside = {
            name: np.repeat(array[at : at + 1], len(rows), axis=0)
            for name, array in call.feeds.items()
            if name in self._rows and len(array) == count
        }
        rows.flags.writeable = False
        again = replace(call, feeds={**call.feeds, **beside, given.name: rows}, wanted=[self._output])
        (answers,) = self._asked(again)
        if answers.ndim == 1:
            return answers
        own = answers[-1 if asked_last else 0]
        chosen: Array = answers[:, int(own.argmax())]
        return chosen


def _joined(explained: Sequence[_Explained], shape: tuple[int, ...]) -> list[tuple[TensorSpec, Array]]:
    """Rows of equal shapes; texts of fewer words than another are filled up with empty ones of weight 0."""
    words = max((len(one.words) for one in explained), default=0)
    shape = (words,) if shape == () else shape
    weights = np.zeros((len(explained), *shape), np.float32)
    names = np.full((len(explained), words), b"", np.object_)
    for row, one in enumerate(explained):
        weights[row][tuple(map(slice, one.weights.shape))] = one.weights
        names[row, : len(one.words)] = one.words
    made = [(WEIGHTS, weights), (BASE, np.array([one.base for one in explained], np.float32))]
    told = [(TensorSpec(name, "FP32", (-1,) * array.ndim), array) for name, array in made]
    return [*told, (TensorSpec(WORDS, "BYTES", (-1, -1)), names)] if words else told
