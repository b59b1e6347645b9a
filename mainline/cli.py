"""The command line: one function a verb, which imports its module when it is called."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mainline import console
from mainline.errors import Refusal
from mainline.places import EMBEDDED, Places, find_places

app = typer.Typer(
    name="mainline",
    help="Git is the only way models change: train, promote, roll back, render, and ask what serves.",
    epilog="Example: mainline promote iris --to local --canary 10",
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich for --help costs 200 ms
    pretty_exceptions_enable=False,
)

Model = Annotated[str, typer.Argument(help="a folder of model-servers/", show_default=False)]
To = Annotated[str, typer.Option("--to", "--env", help="the environment", metavar="ENV", show_default=False)]
Of = Annotated[str, typer.Argument(metavar="[ENV]", help="the environment")]
Context = Annotated[
    str | None, typer.Option(help="of the kubeconfig (mainline-ENV, or the current one)", metavar="NAME")
]
Today = Annotated[
    datetime | None,
    typer.Option(help="hold waivers against this day, not that of the commit", formats=["%Y-%m-%d"]),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for machines")]


class _Session:
    folder = Path()


def _places() -> Places:
    return find_places(_Session.folder)


@app.callback()
def _main(
    repo: Annotated[
        Path, typer.Option("--repo", help="the repository, if not the current folder", metavar="DIR")
    ] = Path(),
) -> None:
    _Session.folder = repo


def _print_json(value: Any) -> None:
    console.say(json.dumps(value, indent=2, sort_keys=True))


@app.command(epilog="Example: mainline up iris")
def up(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB]...", help="training jobs (those whose data are in packages)"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="every job (docs/fleet.md)")] = False,
    port: Annotated[
        int | None, typer.Option(help="of the gateway; 0 takes a free one", min=0, max=65535)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train, register, promote, sync, serve and verify on this machine; safe to repeat."""
    from mainline.reports import show_fleet, show_served
    from mainline.up import reasons
    from mainline.up import up as run

    with console.Steps() as steps:
        outcome = run(_places(), jobs or [], everything, port, steps)
    if as_json:
        _print_json([row.as_dict() for row in outcome.served])
    elif outcome.served:
        (show_fleet if everything else show_served)(outcome.served)
    if outcome.failures:
        raise Refusal(reasons(outcome))


@app.command(epilog="Example: mainline publish")
def publish() -> None:
    """Bring HEAD into main of the embedded Git host, as a merge where promotions were made meanwhile."""
    from mainline.publish import publish as run

    console.say(f"main of gitops.git is {run(_places())[:8]}")


@app.command()
def down() -> None:
    """Stop everything that `mainline up` started; data and history stay."""
    from mainline.local.environment import Embedded

    stopped = Embedded(_places().root, EMBEDDED).stop()
    console.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@app.command(epilog="Example: mainline train iris --compare --plot comparison.svg")
def train(
    job: Annotated[str, typer.Argument(help="a folder of training-jobs/", show_default=False)],
    version: Annotated[
        int | None, typer.Argument(help="with --compare: the other version (what serves)", min=1)
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="params and metrics beside those of another version")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="with --compare: a .svg, .png or .pdf of it", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a job's DVC pipeline from the newest commit and register the result in MLflow."""
    from mainline.train import train as run

    if (version or plot) and not compare:
        raise Refusal("a version and --plot belong to --compare; add it")
    with console.Steps() as steps:
        made = run(_places(), job, lambda line: steps.step(f"train {job}", line))
    _compare(made, version, plot, as_json) if compare else _show_trained(made, as_json)


def _compare(made: Any, version: int | None, plot: Path | None, as_json: bool) -> None:
    from mainline.compare import compare
    from mainline.compare import plot as draw
    from mainline.reports import show_comparison

    found = compare(_places(), made, version)
    if plot:
        draw(found, plot)
    _print_json(found.as_dict()) if as_json else show_comparison(found)


def _show_trained(made: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from mainline.reports import show_trained

    _print_json(asdict(made)) if as_json else show_trained(made)


@app.command(epilog="Example: mainline promote iris --to local --version 2 --canary 10")
def promote(
    model: Model,
    to: To,
    version: Annotated[int | None, typer.Option(help="a version of the registry (the newest)", min=1)] = None,
    canary: Annotated[
        int | None, typer.Option(help="per cent of the traffic, 1 to 99", metavar="PCT")
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="mirror the traffic, discard the answers")] = False,
    header: Annotated[
        str | None, typer.Option(help="only requests with this header", metavar="NAME=VALUE")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="seconds to wait until it is live (embedded environment)", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Promote a registered version: gates, bytes to the store, one commit (or a branch of origin)."""
    from mainline.promote import GatesRefused
    from mainline.promote import promote as run
    from mainline.reports import promotion_as_dict, show_findings, show_promotion
    from mainline.rollout import mode_of

    mode = mode_of(canary, shadow, header)
    try:
        with console.Steps() as steps:
            made = run(_places(), model, to, version, mode, lambda word: steps.step(f"promote {model}", word))
    except GatesRefused as refused:
        show_findings(refused.findings)
        raise
    _wait(to, made.delivered.commit if made.delivered else None, wait)
    _print_json(promotion_as_dict(made)) if as_json else show_promotion(made, _agent_off())


def _wait(env: str, commit: str | None, seconds: float) -> None:
    from mainline.local.environment import Embedded

    if commit and seconds and env == EMBEDDED:
        Embedded(_places().root, env).wait_synced(commit, seconds)


def _agent_off() -> bool:
    from mainline.local.environment import Embedded

    return not Embedded(_places().root, EMBEDDED).running()["agent"]


@app.command(epilog="Example: mainline advance iris --to local --traffic 50")
def advance(
    model: Model,
    to: To,
    traffic: Annotated[
        int | None, typer.Option(help="per cent, 100 ends the rollout", min=1, max=100)
    ] = None,
    wait: Annotated[float, typer.Option(help="seconds to wait until it is live", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Give the candidate its next share of the traffic; the last step makes it the stable version."""
    from mainline.advance import advance as run
    from mainline.reports import show_delivered

    made = run(_places(), model, to, traffic)
    _wait(to, made.commit if made else None, wait)
    show_delivered(made, f"{model} in {to} is there already", as_json, _agent_off())


@app.command(epilog="Example: mainline rollback iris --to local")
def rollback(
    model: Model,
    to: To,
    version: Annotated[
        int | None, typer.Option(help="an earlier release (the one before this)", min=1)
    ] = None,
    wait: Annotated[float, typer.Option(help="seconds to wait until it is live", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """End a running rollout, or commit the earlier release again."""
    from mainline.reports import show_delivered
    from mainline.rollback import rollback as run

    made = run(_places(), model, to, version)
    _wait(to, made.commit if made else None, wait)
    show_delivered(made, f"{model} in {to} serves that version already", as_json, _agent_off())


@app.command(epilog="Example: mainline render --check")
def render(
    envs: Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="environments (all)")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="write nothing; exit 1 where clusters/ differs")
    ] = False,
    as_json: Json = False,
) -> None:
    """Render the declarations of the working tree into clusters/."""
    from mainline.rendering import rendering
    from mainline.reports import show_rendered

    found = rendering(_places(), envs or [], check)
    show_rendered(found, check, as_json)
    if check and any(one.differences for one in found):
        raise typer.Exit(1)


@app.command(epilog="Example: mainline check prod --json")
def check(
    envs: Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="environments (all)")] = None,
    today: Today = None,
    as_json: Json = False,
) -> None:
    """Evaluate the rules of policies/ on every rendered object; exit 1 where one is refused."""
    from dataclasses import asdict

    from mainline.check import check as run
    from mainline.reports import show_checked

    found = run(_places(), envs or [], today.date() if today else None)
    _print_json([asdict(one) for one in found]) if as_json else show_checked(found)
    if any(one.violations for one in found):
        raise typer.Exit(1)


@app.command(epilog="Example: mainline cost prod --against origin/main")
def cost(
    envs: Annotated[list[str] | None, typer.Argument(metavar="[ENV]...", help="environments (all)")] = None,
    against: Annotated[
        str | None, typer.Option(help="show what changed since this revision of Git", metavar="REV")
    ] = None,
    refresh: Annotated[
        Path | None, typer.Option(help="write a new price book from a price list file of AWS", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Price what is declared, offline, by the newest price book; exit 1 where a usual month is beyond the budget."""
    from mainline import cost as priced
    from mainline.bills import show_priced

    if refresh:
        console.say(f"wrote {priced.refresh(_places(), refresh).relative_to(_places().root)}")
        return
    found = priced.cost(_places(), envs or [], against)
    _print_json([priced.as_dict(one) for one in found]) if as_json else show_priced(found)
    if any(one.over for one in found):
        raise typer.Exit(1)


@app.command(epilog="Example: mainline status local --json")
def status(
    env: Of = EMBEDDED,
    context: Context = None,
    offline: Annotated[bool, typer.Option("--offline", help="what Git says; no cluster is asked")] = False,
    as_json: Json = False,
) -> None:
    """What should run, what runs, since which commit; exit 1 when they differ."""
    from mainline.reports import show_status
    from mainline.status import agrees
    from mainline.status import status as run

    found = run(_places(), env, context, offline)
    _print_json(found) if as_json else show_status(found)
    if not agrees(found):
        raise typer.Exit(1)


@app.command(epilog="Example: mainline verify local")
def verify(
    env: Of = EMBEDDED,
    model: Annotated[str | None, typer.Option(help="one model only", show_default=False)] = None,
    context: Context = None,
    gateway: Annotated[
        str | None,
        typer.Option(help="the address of its clients (declared, or its Gateway's)", metavar="URL"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare release, rendered tree, store and live digests; exit 1 on any difference."""
    from mainline.reports import show_verdicts
    from mainline.verify import verify as run

    found = run(_places(), env, model, context, gateway)
    _print_json([verdict.as_dict() for verdict in found]) if as_json else show_verdicts(found)
    if not all(verdict.agrees for verdict in found):
        raise typer.Exit(1)


@app.command(epilog="Example: mainline log --model iris")
def log(
    env: Of = EMBEDDED,
    model: Annotated[str | None, typer.Option(help="one model only", show_default=False)] = None,
    limit: Annotated[int, typer.Option("-n", help="newest entries", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Promotions, rollbacks and reverts, read from Git alone."""
    from mainline.delivery import refuse_unknown
    from mainline.history import entries
    from mainline.truth import truth

    where = truth(_places(), env)
    found = entries(where.git, where.head(), model, env)[:limit]
    if model and not found:
        refuse_unknown(_places(), model)
    if as_json:
        _print_json([entry.as_dict() for entry in found])
        return
    rows = [
        (e.commit[:8], e.at[:16].replace("T", " "), e.action, e.model, e.version, e.digest[7:15], e.author)
        for e in found
    ]
    console.table(("commit", "at", "action", "model", "ver", "digest", "by"), rows)


@app.command(epilog="Example: mainline doctor")
def doctor(as_json: Json = False) -> None:
    """What is missing on this machine, and the command that mends it; exit 1 when something needed is missing."""
    from dataclasses import asdict

    from mainline.doctor import doctor as run

    checks = run(_places())
    if as_json:
        _print_json([asdict(check) for check in checks])
    else:
        console.table(
            ("check", "state", "detail", "fix"), [(c.name, c.state, c.detail, c.fix) for c in checks]
        )
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)


# DVC, MLflow and Pulumi report home unless they are told not to; nothing that we start does.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A registry that is down is said after seconds, not after MLflow's seven retries of minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
