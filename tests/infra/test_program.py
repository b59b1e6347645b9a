"""The Pulumi program registers exactly what `render` writes, object by object and path by path."""

import asyncio
import gc
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks, settings

from infra.cloud.manifests import Manifest, register
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import Repository, load
from infra.declarations.tree import read_tree
from infra.manifests.manifest import path
from infra.manifests.yaml import dump
from infra.render import render
from tests.infra.samples import RELEASES, STACK, repository, tree

ROOT = Path(__file__).parents[2]
OWN = load(read_tree(ROOT))
# Never closed: the mock monitor makes a loop in each thread of this one's executor, and nobody closes those.
_LOOP = asyncio.new_event_loop()
Registered = list[pulumi.runtime.MockResourceArgs]


# What the program takes from resources to give to others.
_OUTPUTS = {
    "aws:eks/cluster:Cluster": {
        "vpcConfig": {"clusterSecurityGroupId": "sg-1"},
        "endpoint": "https://eks",
        "certificateAuthority": {"data": "Q0E="},
    },
    "aws:rds/instance:Instance": {"resourceId": "db-1"},
}


class Engine(pulumi.runtime.Mocks):
    """Remembers what was registered and, unlike the stock mocks, refuses two resources of one URN."""

    def __init__(self, account: str = "") -> None:
        self.seen: Registered = []
        self.account = account

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        """The one question of the program: whose credentials these are."""
        assert args.token == "aws:index/getCallerIdentity:getCallerIdentity"
        assert not [seen for seen in self.seen if seen.typ != "pulumi:providers:aws"]
        return {"accountId": self.account}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if any((other.typ, other.name) == (args.typ, args.name) for other in self.seen):
            raise ValueError(f"duplicate URN: {args.typ}::{args.name}")
        self.seen.append(args)
        return f"{args.name}-id", _OUTPUTS.get(args.typ, {}) | dict(args.inputs)


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    """Settings as they were, and a loop: the SDK takes the current one, which an earlier test may have taken away."""
    before = settings.SETTINGS
    asyncio.set_event_loop(_LOOP)
    yield
    gc.enable()  # the program switches it off for itself
    settings.configure(before)
    asyncio.set_event_loop(None)


def registered(declared: Repository, env: str, root: Path = ROOT) -> Registered:
    engine = Engine()
    mocks.set_mocks(engine, project="mainline", stack=env)

    @pulumi.runtime.test
    def program() -> None:
        register(declared, env, root)

    program()
    return engine.seen


def written(seen: Registered, root: Path = ROOT) -> dict[str, str]:
    """What the provider writes for these registrations: its folder, the object's path, the object's bytes."""
    folders = {args.name: args.inputs.get("renderYamlToDirectory") for args in seen if _is_provider(args)}
    files = {}
    for args in seen:
        place = folders.get(str(args.provider).split("::")[-2]) if args.provider else None
        if args.typ.startswith("kubernetes:") and place:  # the cluster's own provider writes no files
            folder = Path(place).relative_to(root)
            files[f"{folder.as_posix()}/{path(args.inputs)}"] = dump(_plain(args.inputs))
    return files


def _is_provider(args: pulumi.runtime.MockResourceArgs) -> bool:
    return args.typ == "pulumi:providers:kubernetes"


def _plain(value: Any) -> Any:
    """The mocks give numbers back as floats, as JSON has them."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, float) else value


@pytest.mark.parametrize("env", sorted(OWN.environments))
def test_what_the_program_registers_is_what_render_writes(env: str) -> None:
    assert written(registered(OWN, env)) == render(OWN, env)


@pytest.mark.parametrize("mode", RELEASES)
def test_every_rollout_is_registered_as_it_is_rendered(mode: str) -> None:
    declared = repository(mode)
    assert written(registered(declared, "dev")) == render(declared, "dev")


def test_each_application_has_a_provider_of_its_own() -> None:
    seen = registered(repository(), "dev")
    assert {args.name for args in seen if _is_provider(args)} == {
        "argocd",
        "jobs/iris",
        "models/iris",
        "platform",
    }


def test_a_resource_is_named_by_the_identity_of_its_object() -> None:
    names = {args.name for args in registered(repository(), "dev")}
    assert "serving.kserve.io/v1beta1/InferenceService/models/iris-aaaaaaaa" in names
    assert "v1/Namespace//models" in names


def test_core_kinds_carry_the_provider_s_token() -> None:
    types = {args.typ for args in registered(repository(), "dev")}
    assert {"kubernetes:core/v1:Namespace", "kubernetes:batch/v1:Job"} <= types


def test_a_stack_may_switch_the_registration_off() -> None:
    assert registered(repository(stack=f"{STACK}  mainline:register_manifests: false\n"), "dev") == []


def test_the_program_writes_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "clusters").symlink_to(tmp_path)
    with pytest.raises(DeclarationError, match="clusters: is a symbolic link to"):
        registered(repository(), "dev", tmp_path)


def test_an_existing_cluster_needs_no_cloud() -> None:
    types = {
        args.typ for args in registered(repository(stack=f"{STACK}  mainline:cluster: existing\n"), "dev")
    }
    assert not [token for token in types if token.startswith(("aws:", "pulumi:providers:aws"))]


def test_an_object_twice_is_an_error() -> None:
    engine = Engine()
    mocks.set_mocks(engine, project="mainline", stack="dev")
    item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}

    @pulumi.runtime.test
    def program() -> None:
        Manifest(item, pulumi.ResourceOptions())
        Manifest(item, pulumi.ResourceOptions())

    with pytest.raises(Exception, match="duplicate URN: kubernetes:core/v1:Namespace::v1/Namespace//x"):
        program()


def _run_program(
    monkeypatch: pytest.MonkeyPatch, root: Path, env: str, account: str | None = None
) -> Registered:
    cloud = OWN.environments[env].cloud
    engine = Engine(account or (cloud.account if cloud else ""))
    mocks.set_mocks(engine, project="mainline", stack=env)
    monkeypatch.setattr(pulumi, "get_root_directory", lambda: str(root))

    @pulumi.runtime.test
    def program() -> None:
        runpy.run_module("infra", run_name="__main__")

    program()
    return engine.seen


def test_the_program_itself_registers_the_stack_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(_run_program(monkeypatch, ROOT, "prod")) == render(OWN, "prod")


def test_the_program_stops_at_another_account_before_anything_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        pulumi.RunError, match=r"cloud.account: '333333333333' is not the account of these cred"
    ):
        _run_program(monkeypatch, ROOT, "prod", account="999999999999")


def test_the_program_refuses_a_bad_declaration_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for file, text in tree(stack=f"{STACK}  mainline:trian: true\n").items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    with pytest.raises(pulumi.RunError, match="did you mean 'trains'"):
        _run_program(monkeypatch, tmp_path, "dev")
