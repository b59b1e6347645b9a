"""What became of one request, as the log and the traces tell it."""

from typing import NamedTuple

from v2serve.observe.metrics import LEFT, Release
from v2serve.wire.exchange import Answer, Request

# google/rpc/code.proto says which HTTP status each code of gRPC stands for.
_STATUSES = (200, LEFT, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)
_UNKNOWN = 2


class Outcome(NamedTuple):
    """`status` of a gRPC call is the HTTP status that stands for it; `release` is None where no model was asked."""

    request: Request
    answer: Answer | None
    status: int
    size: int
    seconds: float
    release: Release | None
    protocol: str
    call_id: str | None


def grpc_code(answer: Answer) -> int | None:
    """The code in the trailers, or in the headers where they are all there is; None: not an answer of gRPC."""
    for name, value in answer.trailers or answer.headers:
        if name == "grpc-status":
            return int(value) if value.isdecimal() and int(value) < len(_STATUSES) else _UNKNOWN
    return None


def grpc_status(answer: Answer) -> int:
    """The HTTP status that stands for the outcome."""
    code = grpc_code(answer)
    return answer.status if code is None else _STATUSES[code]
