"""The model card: what a reviewer reads beside the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainkit.errors import TrainError
from trainkit.golden import Tensor
from trainkit.table import Schema

ABOUT = ("title", "summary", "use", "limits", "source", "licence")


def model_card(about: Mapping[str, str], takes: str, evidence: Mapping[str, Any]) -> str:
    """Markdown; `about` has what ABOUT names, `takes` is the section on the input."""
    if missing := [name for name in ABOUT if not about.get(name)]:
        raise TrainError(f"the model card needs {', '.join(missing)}: add it to the export's about")
    measured = "\n".join(f"| {name} | {value:g} |" for name, value in sorted(evidence["metrics"].items()))
    data = "\n".join(f"- `{name}` {digest}" for name, digest in sorted(evidence["data"].items()))
    return f"""# {about["title"]}

{about["summary"]}

**For:** {about["use"]}

**Not for:** {about["limits"]}

## Input

{takes}

## Evidence

{evidence["method"]}

| metric | value |
|---|---|
{measured}

{_parity(evidence["parity"])}

## Data

{about["source"]}
Licence: {about["licence"]}

{data}
"""


def feature_table(schema: Schema) -> str:
    """The input of a table's model, feature by feature."""
    rows = "\n".join(f"| {c.name} | {c.unit} | {c.low:g} to {c.high:g} |" for c in schema.columns)
    return f"""| feature | unit | accepted in training |
|---|---|---|
{rows}

Classes: {", ".join(schema.classes)}."""


def tensor_table(tensors: Sequence[Tensor]) -> str:
    rows = "\n".join(f"| {t.name} | {t.datatype} | {list(t.shape)} |" for t in tensors)
    return f"| input | datatype | shape |\n|---|---|---|\n{rows}"


def _parity(parity: Mapping[str, Any]) -> str:
    rows = f" on {parity['rows']} rows" if parity["rows"] else ""
    return (
        f"The ONNX graph answers as the model that was evaluated does{rows}: "
        f"the largest difference is {parity['largest_difference']:g}, {parity['tolerance']:g} are allowed."
    )
