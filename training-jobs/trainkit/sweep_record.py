"""A sweep in MLflow: a parent run, and one nested run for each trial that came to an end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainkit.errors import TrainError
from trainkit.job import Job
from trainkit.provenance import provenance
from trainkit.register import experiment
from trainkit.registry import one_line
from trainkit.sweep_plan import Plan
from trainkit.sweep_study import REASON, complete, counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow import MlflowClient

PARENT, TRIAL, STUDY = "mlflow.parentRunId", "mainline.trial", "mainline.sweep"
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}


class Record:
    """The study is the truth and MLflow its picture: what a registry that was down missed is written later."""

    def __init__(self, client: "MlflowClient | None", job: Job, plan: Plan, study: Any) -> None:
        self._client, self._job, self._plan, self._study = client, job, plan, study
        self._recorded: set[int] = set()
        self.parent: str | None = None

    @contextmanager
    def running(self, say: "Callable[[str], None]") -> Iterator[None]:
        """The parent run is RUNNING inside, and afterwards says how it ended; all trials are in it."""
        if self._client is None:
            yield
            return
        with one_line(self._client.tracking_uri):
            self.parent = self._opened(self._client)
        try:
            yield
        except BaseException:
            self.catch_up(say, "KILLED")
            raise
        with one_line(self._client.tracking_uri):
            self._catch_up(self._client, self.parent, "FINISHED")

    def catch_up(self, say: "Callable[[str], None]", status: str = "RUNNING") -> None:
        """Write the trials that MLflow has not; a registry that is down does not end the sweep."""
        if self._client is None or self.parent is None:
            return
        try:
            with one_line(self._client.tracking_uri):
                self._catch_up(self._client, self.parent, status)
        except TrainError as error:
            say(f"{self._job.name} sweep: {error}; the trial is kept and written later")

    def _opened(self, client: "MlflowClient") -> str:
        """The study's parent run in this registry, which an earlier run of the sweep may have made."""
        home, name = experiment(client, self._job.name), self._study.study_name
        found = client.search_runs([home], f"tags.`{STUDY}` = '{name}'", max_results=1)
        if found:
            self._recorded = self._finished(client, home, found[0].info.run_id)
            client.update_run(found[0].info.run_id, status="RUNNING")
            return str(found[0].info.run_id)
        run = client.create_run(home, run_name=f"sweep {name}", tags={STUDY: name, **self._tags()})
        search = {f"search.{path}": repr(choice) for path, choice in self._plan.search.items()}
        for key, value in search.items():
            client.log_param(run.info.run_id, key, value)
        return str(run.info.run_id)

    def _finished(self, client: "MlflowClient", home: str, parent: str) -> set[int]:
        """Numbers of the trials that are there whole; one that was cut off is deleted and written anew."""
        done = set()
        for run in client.search_runs([home], f"tags.`{PARENT}` = '{parent}'", max_results=5000):
            if run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
            else:
                done.add(int(run.data.tags[TRIAL]))
        return done

    def _catch_up(self, client: "MlflowClient", parent: str, status: str) -> None:
        for number, trial in enumerate(counted(self._study), start=1):
            if number not in self._recorded:
                self._write(client, parent, number, trial)
                self._recorded.add(number)
        if complete(self._study):
            client.log_metric(parent, f"best_{self._plan.metric}", self._study.best_value)
            for name, value in self._study.best_params.items():
                client.set_tag(parent, f"best.{name}", str(value))
        client.update_run(parent, status=status) if status == "RUNNING" else client.set_terminated(
            parent, status
        )

    def _write(self, client: "MlflowClient", parent: str, number: int, trial: Any) -> None:
        from mlflow.entities import Metric, Param

        tags = {PARENT: parent, TRIAL: str(number), **self._tags()}
        if REASON in trial.user_attrs:
            tags["mainline.reason"] = trial.user_attrs[REASON]
        home = experiment(client, self._job.name)
        run = client.create_run(home, run_name=f"trial {number}", tags=tags).info.run_id
        name = self._plan.metric
        metrics = [Metric(name, value, 0, step) for step, value in sorted(trial.intermediate_values.items())]
        if trial.state.name == "COMPLETE":
            # After the last reported step, so that the run's latest value is the trial's.
            metrics.append(Metric(name, trial.value, 0, max(trial.intermediate_values, default=0) + 1))
        client.log_batch(run, metrics, [Param(key, str(value)) for key, value in trial.params.items()])
        client.set_terminated(run, STATUS[trial.state.name])

    def _tags(self) -> dict[str, str]:
        origin = provenance(self._job.folder, self._job.code)
        return {
            "mainline.job": self._job.name,
            "mainline.code": origin.code,
            "mainline.dirty": str(origin.dirty).lower(),
        }
