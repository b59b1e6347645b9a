"""One release as callers meet it: what can be asked of it, how its answers are labelled, and what is noted."""

import logging
from collections.abc import Callable, Sequence

from v2serve.call import Call
from v2serve.codecs.release import ReleaseName
from v2serve.contract import Contract, RequestCheck
from v2serve.explain.explainer import asks
from v2serve.lanes import Lane, Result
from v2serve.observe.observer import Observer, Watched
from v2serve.protocol import Refusal
from v2serve.released import Served
from v2serve.tensors import Array
from v2serve.wire.exchange import Headers, Request

_log = logging.getLogger("v2serve")

JSON, BINARY = "application/json", "application/octet-stream"


class Endpoint:
    """Attributes, not properties: the path of a request reads them."""

    def __init__(self, served: Served, watched: Watched, observer: Observer) -> None:
        self.name, self.version, self.digest, self.run = (
            served.name,
            served.version,
            served.digest,
            served.run,
        )
        self.release = ReleaseName(served.name, served.version)
        self.contract: Contract = served.contract
        self.check: RequestCheck = served.check
        self.lane: Lane = served.lane
        self.deadline_seconds = served.deadline_seconds
        self._explainer, self._explain = served.explainer, served.explain
        self.infer: Callable[[Call], Result] = served.infer if self._explain is None else self._infer
        self.run_now: Callable[[Call], Sequence[Array]] = served.run_now  # of what is not to be explained
        self.json_headers: Headers = (("content-type", JSON), ("x-model-digest", served.digest))
        self.binary_headers: Headers = (("content-type", BINARY), ("x-model-digest", served.digest))
        self.watched = watched
        self._observer = observer
        self._note = None if watched.drift is None else watched.drift.note

    @property
    def ready(self) -> bool:
        return self.lane.healthy

    @property
    def roots(self) -> tuple[str, ...]:
        """The paths under which V2 knows this model."""
        path = f"/v2/models/{self.name}"
        return (path, f"{path}/versions/{self.version}") if self.version else (path,)

    def begin(self, request: Request) -> None:
        """This request is an inference of this model."""
        request.context = self
        self._observer.begin(self.watched)

    def check_parameters(self, call: Call) -> None:
        """Refusal 400 for a wish to be explained that is none, or that this model cannot grant."""
        if not asks(call.parameters):
            return
        if self._explainer is None:
            raise Refusal(
                400, f"parameter explain: the artifact of {self.name} has no explain.json; leave it out"
            )
        self._explainer.admit(call)

    def _infer(self, call: Call) -> Result:
        """An explanation asks the model many times: never in the thread of the event loop, nor in the model's."""
        if self._explain is not None and asks(call.parameters):
            return self._explain(call)
        return self.lane.run(call)

    def note(self, call: Call, arrays: Sequence[Array]) -> None:
        """In the thread of the event loop. An answer that is there is not lost because nobody could count it."""
        if self._note is None:
            return
        try:
            self._note(call.feeds, call.wanted, arrays)
        except Exception:
            _log.exception("model %s: no more statistics of its data", self.name)
            self._note = None
