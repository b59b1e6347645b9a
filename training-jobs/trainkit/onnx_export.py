"""A torch module as ONNX with the same bytes in every run: no paths, no versions, our names, a free batch."""

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from trainkit.graph import BATCH, OPSET, normalized


def exported(module: Any, example: Mapping[str, Any], outputs: Sequence[str]) -> bytes:
    """The module in evaluation mode; `example` has a tensor of two rows or more for each argument, by input name.

    torch is imported here and not before: no job without it pays for it.
    """
    import torch  # type: ignore[import-not-found,unused-ignore]

    content = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter by tracing: the newer one needs two more packages, and writes source paths into the graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            module.eval(),
            tuple(example.values()),
            content,
            dynamo=False,
            opset_version=OPSET[""],
            input_names=list(example),
            output_names=list(outputs),
            dynamic_axes={name: {0: BATCH} for name in (*example, *outputs)},
        )
    model = onnx.load_from_string(content.getvalue())
    ordered = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(ordered)
    return bytes(normalized(model).SerializeToString(deterministic=True))
