"""Inference without a server: the bytes of a REST request in, the bytes of its answer out."""

from pathlib import Path

from v2serve.codecs.release import ReleaseName
from v2serve.codecs.rest import decode, encode
from v2serve.lanes import LaneLimits
from v2serve.model import Runtime
from v2serve.released import ModelRelease, load


class Inference:
    """One artifact, asked as a server of it would ask."""

    def __init__(self, folder: Path) -> None:
        self._served = load(
            ModelRelease("iris", "4", "sha256:" + "0" * 64, None, folder), LaneLimits(), Runtime()
        )
        self._release = ReleaseName("iris", "4")

    def __call__(self, body: bytes, json_bytes: str | None = None) -> bytes:
        call = decode(body, json_bytes, self._served.check)
        return bytes(encode(call, self._served.run_now(call), self._release)[0])
