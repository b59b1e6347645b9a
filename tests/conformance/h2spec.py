"""Runs h2spec, the conformance suite of HTTP/2 (github.com/summerwind/h2spec), against a v2serve of its own."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.v2serve.artifacts import iris, write
from tests.v2serve.servers import running


def main() -> int:
    """h2spec's exit code: 0 if nothing failed; 2 if it is not there."""
    program = shutil.which("h2spec")
    if program is None:
        sys.stderr.write("h2spec is not on PATH; go install github.com/summerwind/h2spec/cmd/h2spec@v2.6.0\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        digest = write(Path(folder), iris())
        with running(Path(folder), digest) as server:
            target = ["-h", "127.0.0.1", "-p", str(server.port), "-P", "/v2/health/live"]
            return subprocess.run([program, *target], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
