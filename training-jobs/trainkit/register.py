"""Register an artifact: one finished MLflow run, then the model version, or neither."""

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainkit.artifact import verified_digest
from trainkit.context import context
from trainkit.datasets_log import dataset_inputs
from trainkit.documents import read_json
from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.params import all_params, flat
from trainkit.provenance import provenance
from trainkit.registry import one_line
from trainkit.signature import MODEL, description, mlmodel

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACTS = "MAINLINE_MLFLOW_ARTIFACTS"
FOLDER = "artifact"
AGAIN = "python -m trainkit run JOB_FOLDER"
NEWEST = "newest"  # the one alias that is ours to set: which version serves is said by Git
STALE = 600.0  # seconds after which a run that is still RUNNING was killed: registering takes seconds


@dataclass(frozen=True)
class Entry:
    """What is registered: values as MLflow stores them."""

    job: Job
    digest: str
    folder: Path
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    contract: dict[str, Any]


def register(job: Job, client: "MlflowClient") -> dict[str, Any]:
    """The newest version if it has these bytes already, else a new one; `new` says which."""
    entry = entry_of(job)
    with one_line(client.tracking_uri):
        known = newest(client, entry.job.model)
        new = known is None or known.tags.get("mainline.digest") != entry.digest
        version = _registered(client, entry) if new else known
        if NEWEST not in (version.aliases or ()):
            client.set_registered_model_alias(entry.job.model, NEWEST, version.version)
        return _answer(entry, version, new)


def entry_of(job: Job) -> Entry:
    """Read and check the artifact: its bytes, and that it is of the data and parameters that are here now."""
    folder = job.folder / FOLDER
    digest = verified_digest(folder)
    evidence = read_json(folder / "evidence.json", AGAIN)
    params = all_params(job.folder)
    for name, now in {"job": job.name, "data": job.digests(), "params": params}.items():
        if evidence.get(name) != now:
            raise TrainError(f"artifact/ was made with other {name} than are declared now: {AGAIN}")
    origin = provenance(job.folder, job.code)
    tags = {
        "mainline.job": job.name,
        "mainline.code": origin.code,
        "mainline.dirty": str(origin.dirty).lower(),
        "mainline.data": json.dumps(job.digests(), sort_keys=True),
        "mainline.digest": digest,
    }
    tags |= {"mlflow.source.git.commit": origin.code, **context(job, params)}
    contract = read_json(folder / "contract.json", AGAIN)
    return Entry(job, digest, folder, _metrics(evidence), flat(params), tags, contract)


def _metrics(evidence: dict[str, Any]) -> dict[str, float]:
    found = evidence.get("metrics")
    if not isinstance(found, dict) or not found:
        raise TrainError(f"artifact/evidence.json has no metrics: {AGAIN}")
    for name, value in found.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise TrainError(f"artifact/evidence.json: metric {name} is {value!r}, not a number: {AGAIN}")
    return {name: float(value) for name, value in sorted(found.items())}


def newest(client: "MlflowClient", model: str) -> Any:
    """The model's version with the largest number, or None."""
    found = client.search_model_versions(f"name = '{model}'")
    return max(found, key=lambda version: int(version.version), default=None)


def _registered(client: "MlflowClient", entry: Entry) -> Any:
    home = experiment(client, entry.job.name)
    run = _whole(client, home, entry)
    new = run is None
    run = run or client.create_run(home, tags=entry.tags, run_name=entry.digest[7:15])
    with _failed_unless_done(client, run.info.run_id):
        if new:
            _log(client, run.info.run_id, entry)
        _model(client, entry)
        # The version comes last: what promotion can see is complete.
        return client.create_model_version(
            entry.job.model,
            source=f"{run.info.artifact_uri}/{FOLDER}",
            run_id=run.info.run_id,
            tags=entry.tags,
            description=description(entry.contract, entry.digest),
        )


def _whole(client: "MlflowClient", home: str, entry: Entry) -> Any:
    """A finished run of these very bytes whose registration was killed before its version; RUNNING ones have failed."""
    same = " and ".join(
        f"tags.`mainline.{name}` = '{entry.tags[f'mainline.{name}']}'" for name in ("digest", "code", "dirty")
    )
    finished = None
    for run in client.search_runs([home], same):
        if run.info.status == "FINISHED":
            finished = finished or run
        elif run.info.status == "RUNNING" and run.info.start_time < 1000 * (time.time() - STALE):
            client.set_terminated(run.info.run_id, "FAILED")
    return finished


@contextmanager
def _failed_unless_done(client: "MlflowClient", run: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # A registry that refused the run may refuse this, too: the first reason is the one to tell.
        with suppress(Exception):
            client.set_terminated(run, "FAILED")
        raise


def experiment(client: "MlflowClient", name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return client.create_experiment(name, artifact_location=_location(name))


def _location(experiment: str) -> str | None:
    """Where a new experiment keeps artifacts: the folder or URI that the environment names, or MLflow's choice."""
    place = os.environ.get(ARTIFACTS)
    if not place:
        return None
    root = place if "://" in place else Path(place).resolve().as_uri()
    return f"{root.rstrip('/')}/{experiment}"


def _log(client: "MlflowClient", run: str, entry: Entry) -> None:
    from mlflow.entities import Metric, Param

    # Time 0: when a number was logged says nothing about the model.
    metrics = [Metric(name, value, 0, 0) for name, value in entry.metrics.items()]
    client.log_batch(run, metrics=metrics, params=[Param(*pair) for pair in entry.params.items()])
    client.log_inputs(run, dataset_inputs(entry.job, _features(entry.contract)))
    client.log_text(run, mlmodel(entry.contract, run, entry.digest), MODEL)
    client.log_artifacts(run, str(entry.folder), FOLDER)
    client.set_terminated(run, "FINISHED")


def _features(contract: dict[str, Any]) -> list[str]:
    found = contract.get("parameters", {}).get("features", ())
    return [str(name) for name in found]


def _model(client: "MlflowClient", entry: Entry) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(entry.job.model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _answer(entry: Entry, version: Any, new: bool) -> dict[str, Any]:
    return {
        "model": entry.job.model,
        "version": int(version.version),
        "run": version.run_id,
        "digest": entry.digest,
        "metrics": entry.metrics,
        "new": new,
    }
