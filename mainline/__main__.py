"""The program `mainline`: one line and an exit code for whatever goes wrong."""

import os
import sys

_INTERRUPTED = 130


def main() -> None:
    from mainline.cli import app
    from mainline.console import complain

    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns Ctrl-C into exit code 130 and says nothing.
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        complain("interrupted; repeat the command to go on")
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # `mainline log | head`: the reader has what it wanted. Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if not _expected(error):
            raise
        for line in str(error).splitlines():
            complain(line)
        sys.exit(1)


def _expected(error: Exception) -> bool:
    """Refusals of every room, and what the machine refuses (a read-only disk): one line, no traceback."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"Refusal", "DeclarationError", "NormalFormError", "LocalError", "OSError"})


if __name__ == "__main__":
    main()
