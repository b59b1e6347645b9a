"""`python -m trainkit fetch|run|register|sweep JOB_FOLDER`."""

import argparse
import json
import signal
import sys
from pathlib import Path

from trainkit.bytecode import keep_bytecode
from trainkit.errors import TrainError
from trainkit.job import Job, read_job
from trainkit.nodes import nodes
from trainkit.parent import end_with_parent
from trainkit.stage import PREFIX


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled as Ctrl-C is: children end, an unfinished registration is marked as failed."""


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 refused with one line on stderr, 2 wrong usage, 130 or 143 interrupted."""
    chosen = _chosen(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    end_with_parent()
    try:
        job = read_job(chosen.folder)
        keep_bytecode(job.folder)
        if chosen.verb == "fetch":
            _fetch(job)
        elif chosen.verb == "register":
            _register(job)
        elif chosen.verb == "sweep":
            _sweep(job, chosen.overrides, write=chosen.write, register=not chosen.no_register)
        else:
            _run(job, register=not chosen.no_register)
    except TrainError as error:
        return _say(f"{PREFIX}{error}", 1)
    except KeyboardInterrupt as interrupt:
        return _say(
            f"{PREFIX}interrupted; run it again to go on", 143 if isinstance(interrupt, Terminated) else 130
        )
    return 0


def _terminated(*_: object) -> None:
    raise Terminated


def _chosen(arguments: list[str] | None) -> argparse.Namespace:
    """Overrides of a sweep stand before its flags or after them: argparse leaves the later ones over."""
    parser = _parser()
    chosen, rest = parser.parse_known_args(arguments)
    if rest and (chosen.verb != "sweep" or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if chosen.verb == "sweep":
        chosen.overrides += rest
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainkit", description="Train a job and register its model."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, does in {
        "fetch": "bring the job's data files, verified by sha256",
        "run": "dvc repro, then register",
        "register": "register the artifact that the last run made",
        "sweep": "try values of parameters as sweep.yaml says, and name the best (docs/experiments.md)",
    }.items():
        command = verbs.add_parser(verb, help=does, description=does)
        command.add_argument("folder", type=Path, metavar="JOB_FOLDER")
        if verb == "run":
            command.add_argument("--no-register", action="store_true", help="stop after the artifact")
        if verb == "sweep":
            command.add_argument(
                "overrides", nargs="*", metavar="FIELD=VALUE", help="of sweep.yaml, such as max_trials=40"
            )
            command.add_argument("--write", action="store_true", help="put the best values into params.yaml")
            command.add_argument("--no-register", action="store_true", help="do without MLflow")
    return parser


def _fetch(job: Job) -> None:
    from trainkit.data import fetch

    for path, data in zip(fetch(job), job.data, strict=True):
        terms = f"; licence: {data.licence}" if data.licence else ""
        print(f"{job.name} fetch: {path.name} verified{terms}", flush=True)  # noqa: T201 - the command's output


def _run(job: Job, register: bool) -> None:
    from trainkit.data import fetch
    from trainkit.pipeline import reproduce

    fetch(job)
    if register and nodes().rank == 0:  # of several nodes that train together, one registers
        # MLflow takes seconds to load: it does while DVC works, and a bad registry stops both at once.
        from trainkit.registry import opened

        reproduce(job, opened)
        _register(job)
    else:
        reproduce(job, lambda: None)


def _register(job: Job) -> None:
    from trainkit.register import register
    from trainkit.registry import opened

    print(json.dumps(register(job, opened()), sort_keys=True), flush=True)  # noqa: T201 - the command's answer


def _sweep(job: Job, overrides: list[str], write: bool, register: bool) -> None:
    from trainkit.data import fetch
    from trainkit.pipeline import reproduce
    from trainkit.registry import opened
    from trainkit.sweep import run_sweep
    from trainkit.sweep_plan import read_plan

    plan = read_plan(job.folder, overrides)
    fetch(job)
    reproduce(job, opened if register else lambda: None, plan.stage)
    print(run_sweep(job, overrides, write, opened() if register else None), flush=True)  # noqa: T201 - the answer


def _say(line: str, code: int) -> int:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the command's refusal
    return code


if __name__ == "__main__":
    sys.exit(main())
