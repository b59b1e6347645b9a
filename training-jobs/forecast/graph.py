"""The forecaster as an ONNX graph: history in its own units -> bounds and middle in the same."""

import numpy as np
import onnx
from model import LEVELS, MIDDLE, QUANTILES, Forecaster
from onnx import TensorProto, helper, numpy_helper
from series import HORIZON, WEEK
from windows import LENGTH

OPSET = 17
OUTPUTS = ("mean", *(f"{side}_{level}" for level in LEVELS for side in ("lower", "upper")))
Step = tuple[str, list[str], str, dict[str, object]]


def forecast_graph(model: Forecaster) -> bytes:
    """`history` FP32 [n, LENGTH] -> `mean`, `lower_80`, `upper_80`, `lower_95`, `upper_95` FP32 [n, HORIZON].

    Level and scale are computed in double: in float32 a history around 1e6 would lose its movement.
    """
    steps = [*_scaled(), *_network(len(model.layers)), *_quantiles(), *_bounds(), *_in_units()]
    graph = helper.make_graph(
        [helper.make_node(kind, ends, [name], name=name, **more) for kind, ends, name, more in steps],
        "forecast",
        [helper.make_tensor_value_info("history", TensorProto.FLOAT, ["batch", LENGTH])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", HORIZON]) for name in OUTPUTS],
        [numpy_helper.from_array(value, name) for name, value in _constants(model).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    made.producer_name = "trainkit"
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def _constants(model: Forecaster) -> dict[str, np.ndarray]:
    constants = {
        "linear": model.linear,
        "week_start": np.array([LENGTH - WEEK], np.int64),
        "week_end": np.array([LENGTH], np.int64),
        "hours": np.array([1], np.int64),
        "relative": np.array(1e-3, np.float64),
        "absolute": np.array(1e-9, np.float64),
        "zero": np.array(0, np.float32),
        "by_quantile": np.array([-1, len(QUANTILES), HORIZON], np.int64),
    }
    for number, (weights, bias) in enumerate(model.layers):
        constants |= {f"weights_{number}": weights, f"bias_{number}": bias}
    for place in range(len(QUANTILES)):
        constants[f"place_{place}"] = np.array(place, np.int64)
    for level, factor in zip(LEVELS, model.widening, strict=True):
        constants[f"widening_{level}"] = np.array(factor, np.float32)
    return constants


def _scaled() -> list[Step]:
    return [
        ("Cast", ["history"], "exact", {"to": TensorProto.DOUBLE}),
        ("Slice", ["exact", "week_start", "week_end", "hours"], "week", {}),
        ("ReduceMean", ["week"], "level", {"axes": [1], "keepdims": 1}),
        ("Sub", ["week", "level"], "moved", {}),
        ("Mul", ["moved", "moved"], "squares", {}),
        ("ReduceMean", ["squares"], "variance", {"axes": [1], "keepdims": 1}),
        ("Sqrt", ["variance"], "deviation", {}),
        ("Abs", ["level"], "size", {}),
        ("Mul", ["size", "relative"], "floor", {}),
        ("Add", ["deviation", "floor"], "raised", {}),
        ("Add", ["raised", "absolute"], "scale", {}),
        ("Sub", ["exact", "level"], "centred", {}),
        ("Div", ["centred", "scale"], "ratio", {}),
        ("Cast", ["ratio"], "scaled", {"to": TensorProto.FLOAT}),
    ]


def _network(layers: int) -> list[Step]:
    """`scaled` -> `spread` [n, quantiles * HORIZON]."""
    steps: list[Step] = []
    before = "scaled"
    for number in range(layers):
        last = number == layers - 1
        sum_name = "spread" if last else f"sum_{number}"
        steps.append(("Gemm", [before, f"weights_{number}", f"bias_{number}"], sum_name, {}))
        if not last:
            steps.append(("Relu", [sum_name], f"hidden_{number}", {}))
        before = f"hidden_{number}"
    return steps


def _quantiles() -> list[Step]:
    """`around_<place>` [n, HORIZON], how far each quantile is from the linear map; `middle` is the forecast."""
    apart: list[Step] = [
        ("Gather", ["apart", f"place_{place}"], f"around_{place}", {"axis": 1})
        for place in range(len(QUANTILES))
    ]
    return [
        ("MatMul", ["scaled", "linear"], "base", {}),
        ("Reshape", ["spread", "by_quantile"], "apart", {}),
        *apart,
        ("Add", ["base", f"around_{MIDDLE}"], "middle", {}),
    ]


def _bounds() -> list[Step]:
    steps: list[Step] = []
    for level, places in LEVELS.items():
        for side, place, ends in (
            ("lower", places[0], [f"around_{MIDDLE}", f"around_{places[0]}"]),
            ("upper", places[1], [f"around_{places[1]}", f"around_{MIDDLE}"]),
        ):
            steps += [
                ("Sub", ends, f"gap_{place}", {}),
                ("Max", [f"gap_{place}", "zero"], f"half_{place}", {}),
                ("Mul", [f"half_{place}", f"widening_{level}"], f"wide_{place}", {}),
                ("Sub" if side == "lower" else "Add", ["middle", f"wide_{place}"], f"{side}_{level}_own", {}),
            ]
    return [
        *steps,
        ("Min", ["lower_95_own", "lower_80_own"], "lower_95_scaled", {}),
        ("Max", ["upper_95_own", "upper_80_own"], "upper_95_scaled", {}),
        ("Identity", ["lower_80_own"], "lower_80_scaled", {}),
        ("Identity", ["upper_80_own"], "upper_80_scaled", {}),
        ("Identity", ["middle"], "mean_scaled", {}),
    ]


def _in_units() -> list[Step]:
    steps: list[Step] = []
    for name in OUTPUTS:
        steps += [
            ("Cast", [f"{name}_scaled"], f"{name}_exact", {"to": TensorProto.DOUBLE}),
            ("Mul", [f"{name}_exact", "scale"], f"{name}_sized", {}),
            ("Add", [f"{name}_sized", "level"], f"{name}_placed", {}),
            ("Cast", [f"{name}_placed"], name, {"to": TensorProto.FLOAT}),
        ]
    return steps
