"""python -m v2serve serve | lambda | fetch URI DEST [--digest sha256:...] [--try]"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from v2serve.artifact import ArtifactError
from v2serve.fetch import FetchError, fetch
from v2serve.progress import Progress
from v2serve.settings import SettingsError, read_settings, store_of
from v2serve.stop import stop


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 after one line on stderr that says why."""
    chosen = _parser().parse_args(arguments)
    # An exception instead of a silent death, so that a stopped fetch says so and leaves what a next one goes on with;
    # and the first process of a container has no default handler at all.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        return _fetch(chosen) if chosen.verb == "fetch" else _serve(chosen.verb)
    except (ArtifactError, FetchError, SettingsError) as error:
        return _refuse(error)


def _serve(verb: str) -> int:
    settings = read_settings()
    from v2serve.serve import StartError, serve  # a bad setting is told before the runtime is imported

    try:
        if verb == "lambda":
            from v2serve import function

            function.serve(settings)
        else:
            serve(settings)
    except StartError as error:
        return _refuse(error)
    return 0


def _fetch(chosen: argparse.Namespace) -> int:
    progress = Progress(sys.stderr)
    try:
        digest = fetch(chosen.uri, chosen.destination, chosen.digest, store_of(), progress)
    finally:
        progress.end()
    if chosen.tried:
        _try_out(chosen.destination)
    sys.stdout.write(f"{digest}  {chosen.destination}\n")
    return 0


def _try_out(folder: Path) -> None:
    from v2serve.trial import try_out  # most fetches do without the runtime

    if reason := try_out(folder):
        sys.stderr.write(f"v2serve: not tried: {reason}\n")


def _refuse(error: Exception) -> int:
    sys.stderr.write(f"v2serve: {error}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="v2serve", description="Serve models whose bytes Git names.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("serve", help="serve the model that the V2SERVE_ environment variables name")
    verbs.add_parser("lambda", help="answer the invocations of an AWS Lambda function with the same model")
    fetching = verbs.add_parser("fetch", help="bring an artifact from its store, verified")
    fetching.add_argument("uri", help="file://, s3://, gs://, az:// or mainline://store/<model>/<64 hex>")
    fetching.add_argument("destination", type=Path, metavar="DEST", help="the folder to bring it to")
    fetching.add_argument("--digest", help="sha256:<64 hex>; the last part of the URI if not given")
    fetching.add_argument(
        "--try", dest="tried", action="store_true", help="load what came, and compare its golden answers"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
