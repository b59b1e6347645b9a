"""The model card: what a reviewer reads beside the numbers."""

from collections.abc import Mapping
from typing import Any

from trainkit.table import Schema


def model_card(
    about: Mapping[str, str], schema: Schema, metrics: Mapping[str, float], evidence: Mapping[str, Any]
) -> str:
    """Markdown; `about` has title, summary, use, limits, source and licence."""
    measured = "\n".join(f"| {name} | {value:g} |" for name, value in sorted(metrics.items()))
    inputs = "\n".join(f"| {c.name} | {c.unit} | {c.low:g} to {c.high:g} |" for c in schema.columns)
    data = "\n".join(f"- `{name}` {digest}" for name, digest in sorted(evidence["data"].items()))
    return f"""# {about["title"]}

{about["summary"]}

**For:** {about["use"]}

**Not for:** {about["limits"]}

## Input

| feature | unit | accepted in training |
|---|---|---|
{inputs}

Classes: {", ".join(schema.classes)}.

## Evidence

{evidence["method"]}

| metric | value |
|---|---|
{measured}

The ONNX graph answers as its source does on all {evidence["rows"]} rows, within {evidence["parity"]["tolerance"]:g}.

## Data

{about["source"]}
Licence: {about["licence"]}

{data}
"""
