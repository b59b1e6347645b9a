"""What a model takes and gives, for MLflow: a signature and a description, from contract.json."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

MODEL = "model/MLmodel"  # beside the artifact, whose bytes have one digest
_TYPES = {"BOOL": "bool", "FP16": "float16", "FP32": "float32", "FP64": "float64", "BYTES": "object"}


def mlmodel(contract: Mapping[str, Any], run: str, digest: str) -> str:
    """The text of an MLmodel file without flavors: v2serve runs the model, MLflow knows its signature."""
    from mlflow.models import Model

    model = Model(
        artifact_path="model",
        run_id=run,
        flavors={},
        signature=signature(contract),
        model_uuid=digest.removeprefix("sha256:")[:32],
        metadata={"digest": digest, "artifact": "../artifact"},
    )
    return str(model.to_yaml())


def signature(contract: Mapping[str, Any]) -> "ModelSignature":
    from mlflow.models import ModelSignature

    return ModelSignature(inputs=_schema(contract["inputs"]), outputs=_schema(contract["outputs"]))


def _schema(tensors: Sequence[Mapping[str, Any]]) -> Any:
    import numpy as np
    from mlflow.types import Schema, TensorSpec

    return Schema(
        [TensorSpec(np.dtype(_dtype(t["datatype"])), tuple(t["shape"]), t["name"]) for t in tensors]
    )


def _dtype(datatype: str) -> str:
    return _TYPES.get(datatype, datatype.lower())


def description(contract: Mapping[str, Any], digest: str) -> str:
    """Markdown for the page of a version."""
    rows = [
        f"| {side} | `{tensor['name']}` | {tensor['datatype']} | {tensor['shape']} |"
        for side in ("inputs", "outputs")
        for tensor in contract[side]
    ]
    table = "\n".join(["| | tensor | datatype | shape |", "|---|---|---|---|", *rows])
    return f"`{digest}`\n\n{table}\n\nWhether it serves is said by Git alone: `mainline status`."
