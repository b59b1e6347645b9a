"""model.py: what it may be, what it may do to a call, and what the caller hears when it is wrong."""

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.v2serve.models.examples import call, loaded, passing, text_model, top_model
from v2serve.artifact import ArtifactError, verify
from v2serve.code import load_code
from v2serve.pipeline import BadInput
from v2serve.protocol import Refusal
from v2serve.released import Served
from v2serve.tensors import Array

_FAILED = "the model failed on this input; the server's log says more"
_PRE = "import numpy as np\n\n\ndef preprocess(inputs, parameters):\n"
_POST = "import numpy as np\n\n\ndef postprocess(outputs, inputs, parameters):\n"


def answer(served: Served, values: dict[str, Any], **parameters: Any) -> list[Array]:
    """Through the stages that its lane goes through, without the lane."""
    pipeline = served.lane._pipeline  # type: ignore[attr-defined]
    arrays: list[Array] = list(pipeline.run(call(served, values, **parameters)))
    return arrays


def coded(folder: Path, code: str) -> Served:
    """A model.py that is good for its golden request of two ones only."""
    return loaded(folder, passing(folder, code))


def _own(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What v2serve logged; an exporter of another test may speak meanwhile."""
    return [record.message for record in caplog.records if record.name == "v2serve"]


def test_texts_become_labels(tmp_path: Path) -> None:
    (labels,) = answer(loaded(tmp_path, text_model(tmp_path)), {"text": [b"the bad", b"good good bad"]})
    assert labels.dtype == object
    assert labels.tolist() == [b"reproach", b"praise"]


def test_parameters_of_the_request_reach_model_py(tmp_path: Path) -> None:
    served = loaded(tmp_path, top_model(tmp_path))
    classes, scores = answer(served, {"image": [[[255, 0], [0, 0]]]}, k=2)
    assert classes.tolist() == [[4, 3]]
    assert scores.tolist() == [[5, 4]]


def test_bad_input_is_400_with_the_words_of_model_py(tmp_path: Path) -> None:
    served = loaded(tmp_path, top_model(tmp_path))
    with pytest.raises(Refusal, match="parameter k: 9; give 1 to 5") as caught:
        answer(served, {"image": [[[255, 0], [0, 0]]]}, k=9)
    assert caught.value.status == 400


def test_a_long_message_of_bad_input_is_cut() -> None:
    assert str(BadInput("x" * 600)) == "x" * 500 + "..."


def test_executing_model_py_leaves_the_artifact_and_the_path_of_modules_alone(tmp_path: Path) -> None:
    before = list(sys.path)
    digest = text_model(tmp_path)
    loaded(tmp_path, digest)
    verify(tmp_path, digest)
    assert sys.path == before
    assert "model" not in sys.modules


def test_two_models_have_a_module_each(tmp_path: Path) -> None:
    for offset in (0, 1):
        code = f"OFFSET = {offset}\n\n\ndef postprocess(outputs, inputs, parameters):\n    return {{'x': OFFSET}}\n"
        passing(tmp_path / str(offset), code)
    first, second = (load_code(tmp_path / str(offset), "same").postprocess for offset in (0, 1))
    assert first is not None
    assert second is not None
    assert first({}, {}, {})["x"] == 0
    assert second({}, {}, {})["x"] == 1


def test_a_dataclass_may_be_declared_in_model_py(tmp_path: Path) -> None:
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n"
    record = "@dataclass\nclass Record:\n    x: int\n\n\n"
    coded(tmp_path, head + record + "def preprocess(inputs, parameters):\n    return inputs\n")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "def preprocess(inputs, parameters):\n  return (",
            "model.py line 2: SyntaxError: '(' was never closed",
        ),
        (
            "x = 1\nimport absent_module\n",
            "model.py line 2: ModuleNotFoundError: No module named 'absent_module'",
        ),
        ("def other():\n    pass\n", "model.py line 1: neither preprocess nor postprocess is defined"),
        ("import sys\nsys.exit(3)\n", "model.py line 2: SystemExit: 3"),
        (
            "\ndef preprocess(inputs):\n    return inputs\n",
            "model.py line 2: preprocess is called with 2 arguments",
        ),
        ("preprocess = 3\n", "model.py line 1: preprocess is not a plain function"),
        (
            "async def preprocess(a, b):\n    return a\n",
            "model.py line 1: preprocess is not a plain function",
        ),
        (
            "def preprocess(a, b):\n    return a\n\n\ndef load(folder):\n    (folder / 'v.txt').read_text()\n",
            "model.py line 6: FileNotFoundError: ",
        ),
        ("\x00", "model.py line 1: SyntaxError: "),
        ("raise ValueError\n", "model.py line 1: ValueError: no message"),
        ("raise KeyboardInterrupt\n", "model.py line 1: KeyboardInterrupt: no message"),
        ("x = 1\nraise GeneratorExit('x')\n", "model.py line 2: GeneratorExit: x"),
        (
            "class Mute(Exception):\n    def __str__(self):\n        raise self\n\n\nraise Mute\n",
            "model.py line 6: Mute: no message",
        ),
        ("preprocess = dict\n", "model.py line 1: preprocess is called with 2 arguments: no signature"),
    ],
)
def test_a_model_py_that_cannot_work_is_refused_before_the_server_listens(
    tmp_path: Path, code: str, reason: str
) -> None:
    digest = passing(tmp_path, code)
    with pytest.raises(ArtifactError, match=f"^{re.escape(reason)}") as caught:
        loaded(tmp_path, digest)
    assert "\n" not in str(caught.value)


def test_a_module_that_failed_is_forgotten(tmp_path: Path) -> None:
    passing(tmp_path, "raise ValueError\n")
    with pytest.raises(ArtifactError):
        load_code(tmp_path, "forgotten")
    assert not [name for name in sys.modules if name.endswith("_forgotten")]


@pytest.mark.parametrize(
    ("code", "log"),
    [
        (_PRE + "    return 3\n", "preprocess: got a int, wanted a dict of x"),
        (_PRE + "    return {}\n", "preprocess: got a dict of nothing, wanted a dict of x"),
        (_PRE + "    return {'z': inputs['x']}\n", "preprocess: got a dict of z, wanted a dict of x"),
        (_PRE + "    return {'x': [1.0]}\n", "preprocess: x: got a list, wanted FP32 [-1]"),
        (
            _PRE + "    return {'x': inputs['x'].astype('float64')}\n",
            "preprocess: x: got float64 [2], wanted FP32 [-1]",
        ),
        (
            _PRE + "    return {'x': inputs['x'][None]}\n",
            "preprocess: x: got float32 [1, 2], wanted FP32 [-1]",
        ),
        (_POST + "    return None\n", "postprocess: got a NoneType, wanted a dict of y"),
        (_POST + "    return {}\n", "postprocess: got a dict of nothing, wanted a dict of y"),
        (_POST + "    return {**outputs, 'z': 1}\n", "postprocess: got a dict of y, z, wanted a dict of y"),
        (
            _POST + "    return {'y': outputs['y'].astype('int64')}\n",
            "postprocess: y: got int64 [2], wanted FP32 [-1]",
        ),
        (
            _POST + "    return {'y': outputs['y'][:1]}\n",
            "postprocess: y: got 1 rows, wanted 2, as many as the input has",
        ),
    ],
)
def test_what_model_py_gives_is_checked_and_its_fault_is_500(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: str, log: str
) -> None:
    lines = code.rstrip().rsplit("\n", 1)
    kept = "inputs" if "preprocess" in code else "outputs"
    digest = passing(
        tmp_path, f"{lines[0]}\n    if inputs['x'][0] == 1:\n        return {kept}\n{lines[1]}\n"
    )
    served = loaded(tmp_path, digest)
    with caplog.at_level(logging.ERROR, "v2serve"), pytest.raises(Refusal, match=f"^{_FAILED}$") as caught:
        answer(served, {"x": [2, 2]})
    assert caught.value.status == 500
    assert _own(caplog) == [f"model m: model.py: {log}"]


@pytest.mark.parametrize(
    "raised", ["KeyError('secret')", "SystemExit(1)", "StopIteration()", "MemoryError()"]
)
@pytest.mark.parametrize("start", [_PRE, _POST])
def test_a_model_py_that_raises_is_500_and_its_traceback_is_in_the_log_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start: str, raised: str
) -> None:
    kept = "inputs" if start == _PRE else "outputs"
    served = coded(
        tmp_path, f"{start}    if inputs['x'][0] == 2:\n        raise {raised}\n    return {kept}\n"
    )
    with caplog.at_level(logging.ERROR, "v2serve"), pytest.raises(Refusal, match=f"^{_FAILED}$") as caught:
        answer(served, {"x": [2, 2]})
    assert caught.value.status == 500
    assert f"raise {raised}" in caplog.text
    assert "line 6" in caplog.text


def test_what_the_graph_refuses_of_preprocess_is_500(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = _PRE + "    return {'x': inputs['x'][:0] if inputs['x'][0] == 2 else inputs['x']}\n"
    digest = passing(tmp_path, code)
    served = loaded(tmp_path, digest)
    pipeline = served.lane._pipeline  # type: ignore[attr-defined]

    def refusing(names: list[str], feeds: dict[str, Array]) -> list[Array]:
        raise Refusal(400, "the model refuses this input: too short")

    pipeline._infer = refusing
    with caplog.at_level(logging.ERROR, "v2serve"), pytest.raises(Refusal, match=f"^{_FAILED}$"):
        answer(served, {"x": [2, 2]})
    assert _own(caplog) == ["model m: model.py: preprocess: the model refuses this input: too short"]


@pytest.mark.parametrize("words", ["['a', 'é']", "['a', 'é'], object", "[b'a', 'é'.encode()], object"])
def test_text_of_postprocess_becomes_bytes(tmp_path: Path, words: str) -> None:
    code = _POST + f"    return outputs if inputs['x'][0] == b'a' else {{'y': np.array({words})}}\n"
    served = loaded(tmp_path, passing(tmp_path, code, "BYTES"))
    (array,) = answer(served, {"x": [b"x", b"y"]})
    assert array.dtype == object
    assert array.tolist() == [b"a", "é".encode()]


def test_postprocess_may_not_give_other_objects_for_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = _POST + "    return outputs if inputs['x'][0] == b'a' else {'y': np.array([1, None], object)}\n"
    served = loaded(tmp_path, passing(tmp_path, code, "BYTES"))
    with pytest.raises(Refusal, match=f"^{_FAILED}$"):
        answer(served, {"x": [b"x", b"y"]})
    assert _own(caplog) == ["model m: model.py: postprocess: y: got object [2], wanted BYTES [-1]"]


def test_without_preprocess_the_contract_must_have_the_graphs_inputs(tmp_path: Path) -> None:
    passing(tmp_path, _POST + "    return outputs\n")
    text = (tmp_path / "contract.json").read_text()
    (tmp_path / "contract.json").write_text(text.replace('"x"', '"q"'))
    with pytest.raises(ArtifactError, match=r"inputs \['q'\] differ from the graph's \['x'\]"):
        loaded(tmp_path, "")


def test_without_postprocess_the_contract_must_have_the_graphs_outputs(tmp_path: Path) -> None:
    passing(tmp_path, _PRE + "    return inputs\n")
    text = (tmp_path / "contract.json").read_text()
    (tmp_path / "contract.json").write_text(text.replace('"y"', '"q"'))
    with pytest.raises(ArtifactError, match=r"outputs \['q'\] differ from the graph's \['y'\]"):
        loaded(tmp_path, "")


def test_only_the_graph_outputs_that_are_wanted_are_run(tmp_path: Path) -> None:
    served = loaded(tmp_path, top_model(tmp_path))
    pipeline = served.lane._pipeline  # type: ignore[attr-defined]
    assert pipeline.graph_outputs(call(served, {"image": [[[255, 0], [0, 0]]]}, "classes")) == ["scores"]


_TAKES = _PRE + "    return {name: inputs.pop(name) for name in list(inputs)}\n"
_CHANGES = (
    _PRE
    + "    parameters['seen'] = 1\n    inputs['x'] = inputs['x'] + 1\n    return inputs\n\n\n"
    + "def postprocess(outputs, inputs, parameters):\n    assert 'seen' not in parameters\n"
    + "    answer = {'y': outputs.pop('y') - inputs.pop('x')}\n    inputs['z'] = parameters['w'] = 1\n"
    + "    return {'y': answer['y'] + 0 * len(inputs)}\n"
)


def test_a_model_py_that_empties_its_dicts_leaves_the_call_as_it_was(tmp_path: Path) -> None:
    served = coded(tmp_path, _TAKES)
    asked = call(served, {"x": [1, 2]}, seconds=1)
    (given,) = served.run_now(asked)
    assert given.tolist() == [1, 2]
    assert asked.feeds["x"].tolist() == [1, 2]
    assert asked.parameters == {"seconds": 1}


def test_preprocess_changes_neither_what_postprocess_sees_nor_what_is_counted(tmp_path: Path) -> None:
    served = coded(tmp_path, _CHANGES)
    asked = call(served, {"x": [5, 6]})
    (given,) = served.run_now(asked)
    assert given.tolist() == [1, 1], "inputs are those of the caller"
    assert list(asked.feeds) == ["x"]
    assert asked.feeds["x"].tolist() == [5, 6]
    assert asked.parameters == {}


def test_a_model_py_that_fails_in_the_golden_request_with_any_exception_is_refused(tmp_path: Path) -> None:
    for name in ("KeyboardInterrupt", "GeneratorExit", "SystemExit"):
        digest = passing(tmp_path / name, _PRE + f"    raise {name}\n")
        with pytest.raises(ArtifactError, match=r"^golden.json: the model refuses its own golden request: "):
            loaded(tmp_path / name, digest)
