"""Which node of a training this is."""

import pytest

from trainkit.errors import TrainError
from trainkit.nodes import Nodes, nodes


def test_without_a_word_there_is_one_node() -> None:
    assert nodes({}) == Nodes(count=1, rank=0, processes=1)


def test_the_trainers_variables_say_which_node_this_is() -> None:
    given = {
        "PET_NNODES": "3",
        "PET_NODE_RANK": "2",
        "PET_NPROC_PER_NODE": "4",
        "PET_MASTER_ADDR": "run-node-0-0.run",
        "PET_MASTER_PORT": "29400",
    }
    found = nodes(given)
    assert found == Nodes(3, 2, 4, "run-node-0-0.run", 29400)
    assert found.world == 12


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"PET_NNODES": "two"}, "PET_NNODES is 'two'; the Trainer gives a whole number"),
        ({"PET_NPROC_PER_NODE": "auto"}, "PET_NPROC_PER_NODE is 'auto'"),
        ({"PET_NODE_RANK": "1"}, "PET_NODE_RANK is 1 and PET_NNODES 1: ranks count from 0 to one less"),
        ({"PET_NNODES": "0"}, "PET_NODE_RANK is 0 and PET_NNODES 0"),
    ],
)
def test_variables_that_make_no_sense_are_refused(given: dict[str, str], reason: str) -> None:
    with pytest.raises(TrainError, match=reason):
        nodes(given)
