"""Which of a training's nodes this is, by the variables that Kubeflow's Trainer gives to the pods of a TrainJob."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from trainkit.errors import TrainError


@dataclass(frozen=True)
class Nodes:
    """`rank` of `count` nodes, each with `processes` (one a GPU); rank 0 answers at `address`:`port`."""

    count: int = 1
    rank: int = 0
    processes: int = 1
    address: str = "127.0.0.1"
    port: int = 29500

    @property
    def world(self) -> int:
        return self.count * self.processes


def nodes(given: Mapping[str, str] | None = None) -> Nodes:
    """This node alone, where no variable says that there are others."""
    told = os.environ if given is None else given
    alone = Nodes()
    found = Nodes(
        count=_number(told, "PET_NNODES", alone.count),
        rank=_number(told, "PET_NODE_RANK", alone.rank),
        processes=_number(told, "PET_NPROC_PER_NODE", alone.processes),
        address=told.get("PET_MASTER_ADDR", alone.address),
        port=_number(told, "PET_MASTER_PORT", alone.port),
    )
    if not 0 <= found.rank < found.count or found.processes < 1:
        raise TrainError(
            f"PET_NODE_RANK is {found.rank} and PET_NNODES {found.count}: ranks count from 0 to one less"
        )
    return found


def _number(told: Mapping[str, str], name: str, default: int) -> int:
    value = told.get(name, str(default))
    if not (value.isascii() and value.isdigit()):
        raise TrainError(f"{name} is {value!r}; the Trainer gives a whole number")
    return int(value)
