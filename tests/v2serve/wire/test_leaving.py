"""Callers who leave at any moment: each admitted request is noted once, and nothing stays held."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.v2serve.wire.echo import eventually, get, post, serving
from tests.v2serve.wire.test_any_split import MULTIPLEXED

_ASKED = (
    get("/a")
    + get("/later?0.002")
    + post("/b", b"x" * 100_000)
    + get("/never")
    + get("/behind")
    + get("/big?900000")
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.sampled_from([_ASKED, MULTIPLEXED]), share=st.floats(0, 1), reads=st.booleans())
def test_whoever_leaves_is_noted_once_for_each_admitted_request(
    data: bytes, share: float, reads: bool
) -> None:
    with serving(read_seconds=5.0) as running:
        with running.connect() as caller:
            caller.sendall(data[: int(len(data) * share)])
            if reads and share > 0.9:
                caller.recv(1)
        assert eventually(lambda: running.server.connections == 0)
        assert sorted(path for path, _ in running.echo.noted) == sorted(running.echo.admitted)
        assert running.server.held == 0
