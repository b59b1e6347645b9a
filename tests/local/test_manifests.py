"""What is read out of manifests, and every refusal with its reason."""

import contextlib
import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mainline.local.manifests import ManifestError, parse
from mainline.local.routes import (
    Backend,
    Match,
    Mirror,
    Route,
    RouteError,
    Rule,
    from_json,
    parse_route,
    to_json,
)
from tests.local.world import backend, mirror, name_of, path_of, route, rule, runtime, service

DIGEST = "sha256:" + "a1" * 32
OTHER = "sha256:" + "b2" * 32
FOLDER = "clusters/local/models/iris/1-manifest"


def files(*manifests: dict[str, Any]) -> dict[str, str]:
    given = {
        path_of(m, "platform" if m["kind"] == "ClusterServingRuntime" else "models/iris"): m
        for m in manifests
    }
    return {path: yaml.safe_dump(manifest) for path, manifest in given.items()}


def whole() -> dict[str, str]:
    return files(runtime(), service("iris", DIGEST), route("iris", rule("iris", backend("iris", DIGEST))))


def changed(manifest: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    """A copy with one field changed, or removed where the value is `...`."""
    made = copy.deepcopy(manifest)
    place = made
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def test_an_application_is_its_folder_with_services_and_routes() -> None:
    application = parse(whole(), "local")["models/iris"]
    served = application.services[name_of("iris", DIGEST)]
    assert (served.model, served.digest, served.version, served.replicas) == ("iris", DIGEST, "1", 1)
    assert dict(served.environment)["V2SERVE_STORAGE_URI"] == f"mainline://store/iris/{DIGEST[7:]}"
    assert application.routes["models/iris"].services() == {f"{name_of('iris', DIGEST)}-predictor"}


def test_other_environments_kinds_and_files_are_left_alone() -> None:
    foreign = {
        "clusters/prod/models/iris/x.yaml": "a: [",
        "clusters/local/README.md": "text",
        "clusters/local/jobs/iris/job.yaml": yaml.safe_dump(
            {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "iris"}}
        ),
    }
    assert parse(whole() | foreign, "local") == parse(whole(), "local")


def test_the_environment_of_a_service_overrides_that_of_its_runtime() -> None:
    told = runtime("python", "serve.py")
    told["spec"]["containers"][0] |= {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}],
        "args": ["x"],
    }
    served = parse(files(told, service("iris", DIGEST, B="2")), "local")["models/iris"].services[
        name_of("iris", DIGEST)
    ]
    assert served.command == ("python", "serve.py", "x")
    assert dict(served.environment)["A"] == "1"
    assert dict(served.environment)["B"] == "2"


@pytest.mark.parametrize(("asked", "cap", "expected"), [(3, 1, 1), (3, 2, 2), (3, 9, 3), (0, 9, 1)])
def test_replicas_are_what_is_asked_for_up_to_what_this_machine_allows(
    asked: int, cap: int, expected: int
) -> None:
    read = parse(files(runtime(), service("iris", DIGEST, replicas=asked)), "local", cap)
    assert read["models/iris"].services[name_of("iris", DIGEST)].replicas == expected


def test_a_change_of_digest_command_or_environment_is_another_revision_and_of_replicas_is_not() -> None:
    def revision(*manifests: dict[str, Any]) -> str:
        return parse(files(*manifests), "local", 9)["models/iris"].services[name_of("iris", DIGEST)].revision

    first = revision(runtime(), service("iris", DIGEST))
    assert revision(runtime(), service("iris", DIGEST, replicas=3)) == first
    assert revision(runtime(), service("iris", DIGEST, X="1")) != first
    assert revision(runtime("other"), service("iris", DIGEST)) != first


MODEL = ("spec", "predictor", "model")
SERVICE_REFUSALS = {
    "no apiVersion": (..., ("apiVersion",), "apiVersion: None is not a name"),
    "kind is a number": (7, ("kind",), "kind: 7 is not a name"),
    "no name": (..., ("metadata", "name"), "metadata.name: None is not a name"),
    "no metadata": (..., ("metadata",), "metadata.name: None is not a name"),
    "no predictor": (..., ("spec", "predictor"), "spec.predictor: None is not a mapping"),
    "a list for a model": ([], MODEL, "spec.predictor.model: [] is not a mapping"),
    "unknown runtime": (
        "tf",
        (*MODEL, "runtime"),
        "runtime: 'tf' is no ClusterServingRuntime here; known: v2serve",
    ),
    "no environment": (
        ...,
        (*MODEL, "env"),
        "env: V2SERVE_MODEL_NAME is missing; a server is told what it serves",
    ),
    "environment is text": ("A=1", (*MODEL, "env"), "env: 'A=1' is not a list of name and value"),
    "a number as value": (1, (*MODEL, "env", 0, "value"), "is not {name: text, value: text}"),
    "value from elsewhere": ({}, (*MODEL, "env", 0, "valueFrom"), "is not {name: text, value: text}"),
    "a path as model name": ("../x", (*MODEL, "env", 0, "value"), "'../x' is not a model's name"),
    "half a digest": (
        "sha256:12",
        (*MODEL, "env", 1, "value"),
        "'sha256:12' is not sha256: and 64 hex digits",
    ),
    "another digest": (OTHER, (*MODEL, "env", 1, "value"), f"does not end with iris/{OTHER[7:]}"),
    "no storage": (..., (*MODEL, "storageUri"), "storageUri: None does not end with iris/"),
    "a name of another release": (
        "iris-00000000",
        ("metadata", "name"),
        "does not end with -a1a1a1a1, the start of its digest",
    ),
    "a name that is a path": ("../iris-a1a1a1a1", ("metadata", "name"), "is not a lower case DNS label"),
    "replicas in words": (
        "two",
        ("spec", "predictor", "minReplicas"),
        "minReplicas: 'two' is not a whole number",
    ),
}


@pytest.mark.parametrize("case", SERVICE_REFUSALS)
def test_an_inference_service_that_is_not_understood_is_refused_with_file_and_field(case: str) -> None:
    value, path, reason = SERVICE_REFUSALS[case]
    manifest = changed(service("iris", DIGEST), value, *path)
    tree = files(runtime()) | {f"{FOLDER}/service.yaml": yaml.safe_dump(manifest)}
    with pytest.raises(ManifestError) as refused:
        parse(tree, "local")
    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"{FOLDER}/service.yaml: ")


RULE = ("spec", "rules", 0)
ROUTE_REFUSALS = {
    "no rules": ([], ("spec", "rules"), "spec.rules: [] routes nothing; give it one rule"),
    "rules are text": ("all", ("spec", "rules"), "spec.rules: 'all' is not a list"),
    "hosts": (["a.b"], ("spec", "hostnames"), "spec.hostnames: ['a.b'] are not told apart on one machine"),
    "no backends": ([], (*RULE, "backendRefs"), "backendRefs: no weight above 0"),
    "all weights zero": (0, (*RULE, "backendRefs", 0, "weight"), "backendRefs: no weight above 0"),
    "a negative weight": (
        -1,
        (*RULE, "backendRefs", 0, "weight"),
        "-1 is not a whole number from 0 to 1000000",
    ),
    "a weight in words": ("9", (*RULE, "backendRefs", 0, "weight"), "weight: '9' is not a whole number"),
    "a true weight": (True, (*RULE, "backendRefs", 0, "weight"), "weight: True is not a whole number"),
    "another port": (
        8080,
        (*RULE, "backendRefs", 0, "port"),
        "port: 8080; the Service of an InferenceServ",
    ),
    "another kind": (
        "Pod",
        (*RULE, "backendRefs", 0, "kind"),
        "Pod 'iris-a1a1a1a1-predictor' is not a Service",
    ),
    "an unknown backend": (
        "x",
        (*RULE, "backendRefs", 0, "name"),
        "backend x is the Service of no InferenceService",
    ),
    "a filter of a backend": (
        [],
        (*RULE, "backendRefs", 0, "filters"),
        "filters: not honoured on one machine",
    ),
    "a redirect": (
        [{"type": "RequestRedirect"}],
        (*RULE, "filters"),
        "'RequestRedirect' is not honoured",
    ),
    "session persistence": (
        {},
        (*RULE, "sessionPersistence"),
        "sessionPersistence: not honoured on one machine",
    ),
    "a regular expression": (
        "RegularExpression",
        (*RULE, "matches", 0, "path", "type"),
        "is not PathPrefix or Exact",
    ),
    "a relative path": ("v2", (*RULE, "matches", 0, "path", "value"), "'v2' does not start with /"),
    "a method in small letters": (
        "post",
        (*RULE, "matches", 0, "method"),
        "method: 'post' is not an HTTP method",
    ),
    "a key that is a number": (1, (*RULE, "matches", 0, 7), "matches[0].7: not honoured on one machine"),
    "query parameters": (
        [],
        (*RULE, "matches", 0, "queryParams"),
        "queryParams: not honoured on one machine",
    ),
    "a header without value": (
        [{"name": "x"}],
        (*RULE, "matches", 0, "headers"),
        "{'name': 'x'} is not {type: Exact",
    ),
    "a bad duration": (
        {"request": "1 h"},
        (*RULE, "timeouts"),
        "timeouts: '1 h' is not a duration such as 30s",
    ),
}


@pytest.mark.parametrize("case", ROUTE_REFUSALS)
def test_a_route_that_cannot_be_honoured_is_refused_with_file_and_field(case: str) -> None:
    value, path, reason = ROUTE_REFUSALS[case]
    manifest = changed(route("iris", rule("iris", backend("iris", DIGEST))), value, *path)
    tree = files(runtime(), service("iris", DIGEST)) | {f"{FOLDER}/route.yaml": yaml.safe_dump(manifest)}
    with pytest.raises(ManifestError) as refused:
        parse(tree, "local")
    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"{FOLDER}/route.yaml: ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [b", "is not YAML (while parsing a flow"),
        ("", "is empty; a manifest has apiVersion, kind and metadata.name"),
        ("- 1", "[1] is not a mapping with apiVersion, kind and metadata.name"),
        ("---\n---\n", "None is not a mapping"),
        ("a: !!python/object:os.system x", "is not YAML (could not determine a constructor"),
        ("a: 2001-99-99", "is not YAML (month must be in 1..12"),
        ("[" * 5000, "is not YAML"),
        ("\x00", "is not YAML"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ManifestError) as refused:
        parse({"clusters/local/x.yaml": text}, "local")
    assert str(refused.value).startswith("clusters/local/x.yaml: ")
    assert reason in str(refused.value)


def test_one_object_in_two_files_names_both() -> None:
    twice = whole() | {f"{FOLDER}/copy.yaml": yaml.safe_dump(service("iris", DIGEST))}
    with pytest.raises(
        ManifestError, match=r"inferenceservice-.*InferenceService models/iris-a1a1a1a1 is in .*copy.yaml too"
    ):
        parse(twice, "local")


def reason_of(tree: dict[str, str]) -> str:
    """Why a tree is refused, or that it was read; any other exception is a failure of the test."""
    try:
        parse(tree, "local")
    except ManifestError as refused:
        return str(refused)
    return "read"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert reason_of({"clusters/local/x.yaml": text}).startswith(("clusters/local/x.yaml: ", "read"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "port", "type", "x"]), inner)
    ),
    max_leaves=6,
)
PATHS = st.sampled_from([path for _, path, _ in (*SERVICE_REFUSALS.values(), *ROUTE_REFUSALS.values())])


@given(PATHS, VALUES)
def test_any_value_in_any_field_is_read_or_refused(path: tuple[Any, ...], value: Any) -> None:
    manifests = [service("iris", DIGEST), route("iris", rule("iris", backend("iris", DIGEST)))]
    tree = files(runtime())
    for number, manifest in enumerate(manifests):
        with contextlib.suppress(KeyError, IndexError):  # a path of the other kind
            manifest = changed(manifest, value, *path)
        tree[f"{FOLDER}/{number}.yaml"] = yaml.safe_dump(manifest)
    assert reason_of(tree).startswith(("clusters/local/", "read"))


def test_a_route_is_the_same_after_a_trip_through_objects_json() -> None:
    headers = [{"type": "Exact", "name": "X-A", "value": "1"}]
    shadowed = rule("iris", backend("iris", DIGEST, 3), headers=headers, filters=[mirror("iris", DIGEST)])
    parsed = parse_route(route("iris", shadowed | {"timeouts": {"request": "1m500ms"}}))
    name = f"{name_of('iris', DIGEST)}-predictor"
    match = Match("/v2/models/iris", headers=(("x-a", "1"),))
    assert parsed == Route("models", "iris", (Rule((match,), (Backend(name, 3),), (Mirror(name),), 60.5),))
    assert from_json(to_json(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("1h2m", 3720.0), ("250ms", 0.25), ("0s", None)]
)
def test_durations_are_those_of_gateway_api(text: str, seconds: float | None) -> None:
    manifest = route("iris", rule("iris", backend("iris", DIGEST), timeouts={"backendRequest": text}))
    assert parse_route(manifest).rules[0].timeout == seconds


def test_a_mirror_needs_a_whole_percentage() -> None:
    half = mirror("iris", DIGEST)
    half["requestMirror"]["percent"] = 0.5
    with pytest.raises(RouteError, match=r"percent: 0\.5 is not a whole number from 0 to 100"):
        parse_route(route("iris", rule("iris", backend("iris", DIGEST), filters=[half])))
