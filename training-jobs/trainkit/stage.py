"""The frame of a stage's script: one line when it is done, one line when it is refused, never a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainkit.errors import TrainError

REPORT = Path("work/report.json")
MODEL = Path("work/model.joblib")
METRICS = Path("metrics.json")
ARTIFACT = Path("artifact")
PREFIX = "trainkit: "


def run_stage(work: Callable[[], str]) -> None:
    """Do `work` in the job's folder and print the line that it returns; exit 1 with one line on a refusal."""
    name = Path(sys.argv[0]).stem
    try:
        print(f"{Path.cwd().name} {name}: {work()}", flush=True)  # noqa: T201 - what the person watches
    except TrainError as error:
        sys.exit(f"{PREFIX}{error}")
    except ValueError as error:
        if type(error).__name__ != "InvalidParameterError":  # scikit-learn names its parameter and the range
            raise
        sys.exit(f"{PREFIX}params.yaml: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def save_model(model: Any) -> None:
    """Between our own stages only: a pickle never enters the artifact."""
    import joblib  # type: ignore[import-untyped]

    MODEL.parent.mkdir(exist_ok=True)
    joblib.dump(model, MODEL)


def load_model() -> Any:
    import joblib

    try:
        return joblib.load(MODEL)
    except FileNotFoundError:
        raise TrainError(f"{MODEL} is missing: run the stage train first (dvc repro)") from None
