"""The planner alone: no order of events makes it skip a wave, and it always arrives."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mainline.local.manifests import Application, Service
from mainline.local.plan import (
    LiveServer,
    Publish,
    Published,
    Start,
    State,
    Stop,
    all_ready,
    endpoints,
    plan,
    surplus,
)
from mainline.local.routes import Backend, Match, Route, Rule
from tests.local.test_manifests import DIGEST, OTHER


def made(name: str, digest: str = DIGEST, replicas: int = 1, told: str = "1") -> Service:
    return Service(name, "iris", digest, "1", ("serve",), (("TOLD", told),), replicas)


def routed(*names: str) -> dict[str, Route]:
    backends = tuple(Backend(f"{name}-predictor") for name in names)
    return {"models/iris": Route("models", "iris", (Rule((Match("/"),), backends),))} if names else {}


def application(*services: Service, to: tuple[str, ...] | None = None) -> Application:
    names = tuple(service.name for service in services) if to is None else to
    return Application("models/iris", {service.name: service for service in services}, routed(*names))


def live(
    service: Service, state: State = State.READY, name: str | None = None, drained: bool = True
) -> LiveServer:
    return LiveServer(name or service.name, service.name, service.revision, state, 0.0, drained)


A, B = made("a"), made("b", OTHER)
ON_A = Published(routed("a"), True)


def test_a_new_release_is_started_and_nothing_else_happens() -> None:
    assert plan(application(B), [live(A)], ON_A, 0) == [Start("b")]
    assert plan(application(B), [live(A), live(B, State.STARTING)], ON_A, 0) == []


def test_the_route_moves_when_the_new_release_is_ready() -> None:
    assert plan(application(B), [live(A), live(B)], ON_A, 0) == [Publish(routed("b"))]


def test_the_old_release_ends_when_the_gateway_has_the_route_and_nothing_is_on_its_way() -> None:
    both = [live(A), live(B)]
    assert plan(application(B), both, Published(routed("b"), False), 0) == []
    assert plan(application(B), [live(A, drained=False), live(B)], Published(routed("b"), True), 0) == []
    assert plan(application(B), both, Published(routed("b"), True), 0) == [Stop("a")]


def test_a_revert_of_a_release_that_never_got_ready_needs_no_start() -> None:
    stuck = [live(A), live(B, State.FAILED)]
    assert plan(application(A), stuck, ON_A, 0) == [Stop("b")]


def test_a_failed_server_is_started_again_when_its_backoff_is_over() -> None:
    failed = replace(live(A, State.FAILED), retry_at=5.0)
    assert plan(application(A), [failed], ON_A, 4.9) == []
    assert plan(application(A), [failed], ON_A, 5.0) == [Start("a", "a")]


def test_replicas_above_what_is_asked_for_end_and_missing_ones_start() -> None:
    three = [live(A, name=f"a.{n}") for n in range(3)]
    assert plan(application(A), three, ON_A, 0) == [Stop("a.1"), Stop("a.2")]
    assert plan(application(made("a", replicas=5)), three, ON_A, 0) == [Start("a"), Start("a")]


def test_a_new_description_takes_the_traffic_when_it_is_ready_and_the_old_one_until_then() -> None:
    new = made("a", told="2")
    old = live(A, name="a.0")
    assert endpoints(application(new), [old, live(new, State.STARTING, "a.1")]) == {"a": ["a.0"]}
    assert endpoints(application(new), [old, live(new, name="a.1")]) == {"a": ["a.1"]}
    assert endpoints(None, [old]) == {"a": ["a.0"]}


@settings(max_examples=60, stateful_step_count=40, deadline=None)
class Machine(RuleBasedStateMachine):
    """Commits, crashes and a slow gateway in any order, with the planner's actions carried out at any time."""

    @initialize()
    def begin(self) -> None:
        self.desired = application(A)
        self.servers: dict[str, LiveServer] = {}
        self.routes: dict[str, Route] = {}
        self.seen: dict[str, Route] = {}
        self.number = 0

    @rule(choice=st.sampled_from([(A,), (B,), (A, B), (made("a", told="2"),), (made("b", OTHER, 2),), ()]))
    def commit(self, choice: tuple[Service, ...]) -> None:
        self.desired = application(*choice)

    @rule()
    def gateway_reads(self) -> None:
        self.seen = self.routes

    @rule(data=st.data())
    @precondition(lambda self: bool(self.servers))
    def server_changes(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.servers)))
        server = self.servers[name]
        if server.state is State.STOPPING:
            del self.servers[name]
            return
        after = {State.STARTING: [State.READY, State.FAILED], State.READY: [State.FAILED, State.STARTING]}
        states = after.get(server.state, [State.FAILED])
        self.servers[name] = replace(
            server, state=data.draw(st.sampled_from(states)), drained=data.draw(st.booleans())
        )

    @rule()
    def tick(self) -> None:
        published = Published(self.routes, self.seen == self.routes)
        for action in plan(self.desired, list(self.servers.values()), published, 0.0):
            self.carry_out(action)

    def carry_out(self, action: Start | Publish | Stop) -> None:
        if isinstance(action, Start):
            self.number += 1
            name = action.name or f"s{self.number}"
            service = self.desired.services[action.service]
            self.servers[name] = live(service, State.STARTING, name)
        elif isinstance(action, Publish):
            assert all_ready(self.desired, list(self.servers.values()))
            self.routes = dict(action.routes)
        else:
            self.stop(self.servers[action.name])

    def stop(self, server: LiveServer) -> None:
        """Only what no request can reach any more, and only when its successors are ready."""
        assert self.seen == self.routes == dict(self.desired.routes)
        assert all_ready(self.desired, list(self.servers.values()))
        assert server in surplus(self.desired, list(self.servers.values()))
        assert server.drained or server.state is State.FAILED
        self.servers[server.name] = replace(server, state=State.STOPPING)

    @invariant()
    def it_would_arrive_from_here(self) -> None:
        servers, routes = dict(self.servers), self.routes
        for _ in range(12):
            ready = [
                replace(s, state=State.READY, drained=True)
                for s in servers.values()
                if s.state is not State.STOPPING
            ]
            servers = {server.name: server for server in ready}
            actions = plan(self.desired, ready, Published(routes, True), 0.0)
            if not actions:
                break
            for number, action in enumerate(actions):
                if isinstance(action, Start):
                    name = action.name or f"n{len(servers)}.{number}"
                    servers[name] = live(self.desired.services[action.service], State.READY, name)
                elif isinstance(action, Publish):
                    routes = dict(action.routes)
                else:
                    del servers[action.name]
        asked = sorted(s.name for s in self.desired.services.values() for _ in range(s.replicas))
        assert sorted(server.service for server in servers.values()) == asked
        assert routes == dict(self.desired.routes)


TestMachine = Machine.TestCase


@given(
    st.lists(
        st.sampled_from([live(A, name="1"), live(B, name="2"), live(made("a", told="2"), name="3")]),
        unique=True,
    )
)
def test_a_ready_service_always_has_an_endpoint(servers: list[LiveServer]) -> None:
    found = endpoints(application(A, B), servers)
    assert {service for service, names in found.items() if names} == {server.service for server in servers}
