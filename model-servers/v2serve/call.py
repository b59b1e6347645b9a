"""An inference call in terms of numpy, whichever wire brought it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from v2serve.contract import TensorSpec
from v2serve.tensors import Array


@dataclass(slots=True)
class Call:
    """What a model is asked: `feeds` by input name, the outputs to give, in the order they were asked for."""

    feeds: dict[str, Array]
    wanted: list[TensorSpec]
    id: str | None = None
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    deadline: float | None = None  # time.perf_counter() after which nobody waits for the answer
