"""The parameter `explain`, asked of a server: rows, images and texts, and what is refused."""

import base64
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from onnx.numpy_helper import from_array
from PIL import Image

from tests.v2serve.artifacts import Served as Graph
from tests.v2serve.artifacts import Tensor
from tests.v2serve.models.examples import asked, loaded, spec, write_coded, write_graph
from tests.v2serve.servers import Running, running
from v2serve.artifact import ArtifactError, write_sums
from v2serve.call import Call
from v2serve.explain.explainer import Explainer
from v2serve.explain.hidden import hide
from v2serve.explain.plan import Plan, load_plan
from v2serve.model import Runtime
from v2serve.pipeline import load_pipeline
from v2serve.protocol import Refusal

WEIGHTS = np.array([[1, -1], [2, -2], [0, 0]], np.float32)
PLAIN: dict[str, Any] = {
    "kind": "shapley",
    "inputs": ["x"],
    "output": "y",
    "background": [[0, 0, 0], [2, 2, 2]],
}

WORDS_CODE = '''
"""The share of words that are `good`."""
import numpy as np


def preprocess(inputs, parameters):
    shares = [text.split().count(b"good") / len(text.split()) for text in inputs["text"]]
    return {"x": np.array(shares, np.float32)}
'''

SLOW = "    import time\n\n    time.sleep(len(inputs['text'][0]) / 1000)\n    shares"
SLOW_CODE = WORDS_CODE.replace("    shares", SLOW)

IMAGE_CODE = '''
"""The brightness of the upper left quarter, of images of 8x8, as bytes or in base64."""
import base64
import io

import numpy as np
from PIL import Image


def read(image):
    return image if image.startswith(b"\\x89PNG") else base64.b64decode(image)


def preprocess(inputs, parameters):
    pixels = [np.asarray(Image.open(io.BytesIO(read(image))).convert("L"))[:4, :4].mean() for image in inputs["image"]]
    return {"x": np.array(pixels, np.float32)}
'''


def linear() -> Graph:
    return Graph(
        (helper.make_node("MatMul", ["x", "W"], ["y"]),),
        (Tensor("x", "FP32", ("N", 3)),),
        (Tensor("y", "FP32", ("N", 2)),),
        (asked("x", "FP32", [1, 3], [1.0, 1.0, 1.0]),),
        (from_array(WEIGHTS, "W"),),
    )


def same() -> Graph:
    node = helper.make_node("Identity", ["x"], ["y"])
    return Graph((node,), (Tensor("x", "FP32", ("N",)),), (Tensor("y", "FP32", ("N",)),), ())


def planned(folder: Path, plan: Mapping[str, Any]) -> str:
    (folder / "explain.json").write_text(json.dumps(plan))
    return write_sums(folder)


def tabular(folder: Path, **changed: Any) -> str:
    write_graph(folder, linear())
    return planned(folder, {**PLAIN, **changed})


def coded(folder: Path, code: str, name: str, golden: tuple[Any, float], plan: Mapping[str, Any]) -> str:
    question, answer = golden
    pairs = [([asked(name, "BYTES", [1], [question])], [asked("y", "FP32", [1], [answer])])]
    write_coded(folder, same().onnx(), code, ([spec(name, "BYTES", -1)], [spec("y", "FP32", -1)]), pairs)
    return planned(folder, {"inputs": [name], "output": "y", **plan})


def explained(server: Running, *inputs: Any, **parameters: Any) -> dict[str, Any]:
    reply = server.infer({"inputs": list(inputs), "parameters": {"explain": True, **parameters}})
    assert reply.status == 200, reply.body
    return {output["name"]: output for output in reply.json["outputs"]}


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, tabular(tmp_path)) as server:
        yield server


def test_features_get_their_shapley_values_of_the_likeliest_class(table: Running) -> None:
    outputs = explained(table, asked("x", "FP32", [2, 3], [3, 1, 9, -3, -1, 9]))
    assert list(outputs) == ["y", "explanation", "explanation_base"]
    assert outputs["explanation"]["shape"] == [2, 3]
    # Weights 1, 2, 0 of the first class for the first row; the second row is of the other class.
    np.testing.assert_allclose(outputs["explanation"]["data"], [2, 0, 0, 4, 4, 0], atol=1e-5)
    np.testing.assert_allclose(outputs["explanation_base"]["data"], [3, -3], atol=1e-5)


def test_without_the_parameter_or_with_false_there_is_the_answer_alone(table: Running) -> None:
    for parameters in ({}, {"explain": False}):
        reply = table.infer({"inputs": [asked("x", "FP32", [1, 3], [1, 2, 3])], "parameters": parameters})
        assert [output["name"] for output in reply.json["outputs"]] == ["y"]


def test_the_explained_output_need_not_be_asked_for(tmp_path: Path) -> None:
    with running(tmp_path, tabular(tmp_path), V2SERVE_MAX_BATCH="4") as server:
        body = {"inputs": [asked("x", "FP32", [1, 3], [3, 1, 9])], "outputs": [{"name": "y"}]}
        reply = server.infer({**body, "parameters": {"explain": True, "binary_data_output": False}})
        assert [output["name"] for output in reply.json["outputs"]] == [
            "y",
            "explanation",
            "explanation_base",
        ]


@pytest.mark.parametrize(
    ("rows", "wish", "reason"),
    [
        (1, "yes", "parameter explain is 'yes'; give true or false"),
        (5000, True, "parameter explain: 5000 rows need 80000 runs of the model; send at most 4096 rows"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_400(table: Running, rows: int, wish: Any, reason: str) -> None:
    data = [1.0] * 3 * rows
    reply = table.infer({"inputs": [asked("x", "FP32", [rows, 3], data)], "parameters": {"explain": wish}})
    assert (reply.status, reply.error) == (400, reason)


def test_a_model_without_a_plan_says_that_it_explains_nothing(tmp_path: Path) -> None:
    with running(tmp_path, write_graph(tmp_path, linear())) as server:
        body = {"inputs": [asked("x", "FP32", [1, 3], [1, 2, 3])], "parameters": {"explain": True}}
        reply = server.infer(body)
        assert reply.status == 400
        assert "has no explain.json" in reply.error


def test_words_weigh_as_much_as_the_answer_falls_without_them(tmp_path: Path) -> None:
    digest = coded(tmp_path, WORDS_CODE, "text", ("good bad", 0.5), {"kind": "words", "words": 3})
    with running(tmp_path, digest) as server:
        outputs = explained(server, asked("text", "BYTES", [2], ["good bad", "bad good good bad"]))
    assert outputs["explanation"]["shape"] == [2, 3]
    assert outputs["explanation_words"]["data"] == ["good", "bad", "", "bad", "good", "good"]
    expected = [0.5, -0.5, 0, 1 / 2 - 2 / 3, 1 / 2 - 1 / 3, 1 / 2 - 1 / 3]
    np.testing.assert_allclose(outputs["explanation"]["data"], expected, atol=1e-6)
    np.testing.assert_allclose(outputs["explanation_base"]["data"], [0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize(("half_the_deadline", "longest"), [(0.15, 2.0), (30.0, 0.15)])
def test_rows_that_are_larger_than_golden_ones_are_refused_when_their_time_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_the_deadline: float, longest: float
) -> None:
    coded(tmp_path, SLOW_CODE, "text", ("good bad", 0.5), {"kind": "words", "words": 3})
    pipeline = load_pipeline(tmp_path, "slow", Runtime())
    plan = load_plan(tmp_path, pipeline.contract)
    assert plan is not None
    monkeypatch.setattr("v2serve.explain.explainer.LONGEST_SECONDS", longest)
    explainer = Explainer(pipeline, plan)
    explainer.rehearse([Call({"text": np.array([b"good bad"], object)}, [])], half_the_deadline)
    large = np.array([b"good " * 20] * 50, object)  # 0.1 s a row
    with pytest.raises(
        Refusal, match=r"explain: [12] of 50 rows took 0\.\d s; send at most [12] of this size"
    ):
        explainer.run(Call({"text": large}, list(pipeline.contract.outputs)))


def test_words_are_split_at_the_white_space_of_unicode_so_that_no_text_is_left_empty() -> None:
    hidden = hide("good\u00a0bad \u3000".encode(), Plan("words", ("text",), "y"))
    assert hidden.words == (b"good", b"bad")
    assert hidden.rows.tolist()[1:] == [b"bad", b"good"]
    assert hide(b"\xff good", Plan("words", ("text",), "y")).words == (b"\xff", b"good")


def test_sixteen_bits_are_explained_by_their_upper_half() -> None:
    target = io.BytesIO()
    Image.fromarray(np.full((4, 4), 40 << 8, np.uint16)).save(target, "PNG")
    first = Image.open(
        io.BytesIO(hide(target.getvalue(), Plan("occlusion", ("image",), "y", grid=2)).rows[0])
    )
    assert first.getpixel((0, 0)) == (40, 40, 40)


def picture() -> bytes:
    """8x8, of 200 in the upper left quarter and 0 elsewhere: 50 in the mean."""
    values = np.zeros((8, 8), np.uint8)
    values[:4, :4] = 200
    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG")
    return target.getvalue()


@pytest.fixture
def seeing(tmp_path: Path) -> Iterator[Running]:
    golden = (base64.b64encode(picture()).decode(), 200.0)
    digest = coded(tmp_path, IMAGE_CODE, "image", golden, {"kind": "occlusion", "grid": 2})
    with running(tmp_path, digest) as server:
        yield server


def test_parts_of_an_image_weigh_as_much_as_the_answer_falls_without_them(seeing: Running) -> None:
    outputs = explained(seeing, asked("image", "BYTES", [1], [base64.b64encode(picture()).decode()]))
    assert outputs["explanation"]["shape"] == [1, 2, 2]
    assert outputs["explanation"]["data"] == [150, 0, 0, 0]
    assert outputs["explanation_base"]["data"] == [200]


def test_an_image_sent_as_binary_data_is_explained_as_well(seeing: Running) -> None:
    raw = len(picture()).to_bytes(4, "little") + picture()
    head = {
        "inputs": [
            {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
        ],
        "parameters": {"explain": True},
    }
    text = json.dumps(head).encode()
    reply = seeing.infer(text + raw, **{"Inference-Header-Content-Length": str(len(text))})
    assert reply.json["outputs"][1]["data"] == [150, 0, 0, 0]


def test_an_image_that_would_fill_the_memory_is_refused_by_its_header(seeing: Running) -> None:
    target = io.BytesIO()
    Image.new("L", (3000, 2000)).save(target, "PNG")
    told = asked("image", "BYTES", [1], [base64.b64encode(target.getvalue()).decode()])
    reply = seeing.infer({"inputs": [told], "parameters": {"explain": True}})
    assert reply.status == 400
    assert reply.error == "parameter explain: an image of 3000x2000; at most 4473924 pixels are explained"


def test_a_file_may_be_nearly_as_large_as_a_body(seeing: Running) -> None:
    large = picture() + bytes(2_900_000)  # what follows the end of a PNG is ignored
    told = asked("image", "BYTES", [1], [base64.b64encode(large).decode()])
    assert seeing.infer({"inputs": [told]}).json["outputs"][0]["data"] == [200]


def test_what_exif_turns_is_explained_as_a_person_sees_it() -> None:
    values = np.zeros((4, 8), np.uint8)
    values[:, :4] = 255
    target = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what is stored lying stands upright
    Image.fromarray(values).save(target, "PNG", exif=exif)
    plan = Plan("occlusion", ("image",), "y", grid=2)
    first = np.asarray(Image.open(io.BytesIO(hide(target.getvalue(), plan).rows[0])))
    assert first.shape == (8, 4, 3)
    assert first[:4].min() == 255


def test_values_of_an_image_are_hidden_in_its_mean_colour(tmp_path: Path) -> None:
    graph = Graph(
        (helper.make_node("ReduceMax", ["x"], ["y"], axes=[1, 2, 3], keepdims=0),),
        (Tensor("x", "FP32", ("N", 1, 4, 4)),),
        (Tensor("y", "FP32", ("N",)),),
        (asked("x", "FP32", [1, 1, 4, 4], [8.0] + [0.0] * 15),),
    )
    write_graph(tmp_path, graph)
    digest = planned(tmp_path, {"kind": "occlusion", "inputs": ["x"], "output": "y", "grid": 2})
    with running(tmp_path, digest) as server:
        outputs = explained(server, asked("x", "FP32", [1, 1, 4, 4], [8.0] + [0.0] * 15))
    assert outputs["explanation"]["data"] == [7.5, 0, 0, 0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "guess"}, "explain.json: Invalid enum value 'guess'"),
        ({"more": 1}, "explain.json: Object contains unknown field `more`"),
        ({"inputs": []}, "explain.json: inputs is empty; name the input"),
        ({"inputs": ["z"]}, "explain.json: input 'z' is not in contract.json, which has x"),
        ({"output": "z"}, "explain.json: output 'z' is not in contract.json, which has y"),
        ({"background": []}, "explain.json: background needs rows of 3 values"),
        ({"background": [[1, 2]]}, "explain.json: background needs rows of 3 values"),
        ({"background": [[0, 0, 0]] * 8193}, "explain.json: 8193 background rows make 65544 questions a row"),
        ({"kind": "words"}, "explain.json: words are of BYTES [-1]; x is FP32"),
        ({"kind": "occlusion"}, "explain.json: occlusion hides parts of BYTES [-1] or FP32"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_before_the_server_listens(
    tmp_path: Path, changed: dict[str, Any], reason: str
) -> None:
    digest = tabular(tmp_path, **changed)
    with pytest.raises(ArtifactError) as caught:
        loaded(tmp_path, digest)
    assert str(caught.value).startswith(reason)
