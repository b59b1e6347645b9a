"""The models that v2serve is tested with: every datatype among their tensors."""

from onnx import helper

from tests.v2serve.artifacts import Served, Tensor, identity

WORDS = ["w\u00f6rd", ""]


def mixed() -> Served:
    """Gives back what it takes: numbers, texts and truths, of sizes that vary."""
    taken = (
        Tensor("features", "FP32", ("N", 4)),
        Tensor("words", "BYTES", ("M",)),
        Tensor("counts", "INT64", ("K", 2)),
        Tensor("flags", "BOOL", ("L",)),
    )
    golden = ([0.5, -1.5, 2.0, 1e10], WORDS, [1, -(2**62)], [True, False])
    shapes = ([1, 4], [2], [1, 2], [2])
    return Served(
        nodes=tuple(helper.make_node("Identity", [t.name], [f"{t.name}_out"]) for t in taken),
        inputs=taken,
        outputs=tuple(Tensor(f"{t.name}_out", t.datatype, t.shape) for t in taken),
        golden=tuple(
            {"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": data}
            for tensor, shape, data in zip(taken, shapes, golden, strict=True)
        ),
    )


def halves() -> Served:
    """FP16 in and out, which JSON does not carry."""
    return identity("FP16", ("N", 3))
