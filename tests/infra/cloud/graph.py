"""The resource graph of an environment: the real program's registrations, as an engine without a cloud sees them."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import mocks, settings

from infra.cloud.environment import create
from infra.cloud.manifests import register
from infra.declarations.repository import Repository, load
from infra.declarations.tree import read_tree
from tests.infra.samples import JOB, MODEL

ROOT = Path(__file__).parents[3]
_TREE = read_tree(ROOT)
STACKS = {path: text for path, text in _TREE.items() if path.startswith("Pulumi.")}
_OWN = sorted(path.split("/")[1] for path in _TREE if path.endswith("/model.yaml"))  # stack files name some
ENVIRONMENTS = ("dev", "prod", "staging")
# Never closed: the mock monitor makes a loop in each thread of this one's executor, and nobody closes those.
_LOOP = asyncio.new_event_loop()


@dataclass(frozen=True)
class Resource:
    typ: str
    name: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    provider: str

    def document(self, key: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.inputs[key])
        return parsed


@dataclass
class Engine(pulumi.runtime.Mocks):
    """Gives the outputs that AWS would compute, and refuses two resources of one URN or of one name in AWS."""

    account: str
    seen: dict[tuple[str, str], Resource] = field(default_factory=dict)
    kept: set[tuple[str, str]] = field(default_factory=set)
    published: Mapping[str, str] = field(
        default_factory=dict
    )  # aliases that Lambda has already: their versions

    def note(self, args: pulumi.ResourceTransformationArgs) -> None:
        """What the engine is told beside the inputs, and the mocks do not show: that it may not delete this."""
        if args.opts.protect:
            self.kept.add((args.type_, args.name))

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        """What AWS answers, or nothing and why."""
        if args.token == "aws:lambda/getAlias:getAlias":
            return self._alias(args.args["name"])
        assert args.token == "aws:index/getCallerIdentity:getCallerIdentity"
        if not self.account:
            return {}, [("", "no credentials")]
        return {"accountId": self.account, "arn": "arn:aws:iam::1:role/x", "userId": "x", "id": "x"}

    def _alias(self, name: str) -> Any:
        if name not in self.published:
            return {}, [("", "ResourceNotFoundException")]
        return {"functionVersion": self.published[name], "name": name, "id": name}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        key = (args.typ, args.name)
        if key in self.seen:
            raise ValueError(f"duplicate URN: {args.typ}::{args.name}")
        outputs = {**args.inputs, **computed(args.typ, args.name, dict(args.inputs), self.account)}
        provider = str(args.provider or "")
        self.seen[key] = Resource(args.typ, args.name, dict(args.inputs), outputs, provider)
        return str(outputs.get("id", f"{args.name}-id")), outputs


def computed(typ: str, name: str, inputs: dict[str, Any], account: str) -> dict[str, Any]:
    """ARNs as AWS builds them, of what has one."""
    own = _ARNS.get(typ)
    found: dict[str, Any] = {"arn": own(inputs, account) if own else f"arn:aws:x:::{typ}/{name}"}
    if typ == "aws:eks/cluster:Cluster":
        found["vpcConfig"] = {**inputs["vpcConfig"], "clusterSecurityGroupId": "sg-cluster"}
        found |= {"endpoint": "https://eks", "certificateAuthority": {"data": "Q0E="}}
    if typ == "aws:rds/instance:Instance":
        found |= {"resourceId": "db-ABC", "address": "db.internal"}
    if typ == "aws:kms/key:Key":
        found["keyId"] = f"key-{name}"
    if typ == "aws:sqs/queue:Queue":
        found["url"] = f"https://sqs/{inputs['name']}"
    if typ == "aws:ec2/launchTemplate:LaunchTemplate":
        found["latestVersion"] = 1
    return found | _OF_FUNCTIONS.get(typ, {})


_OF_FUNCTIONS: dict[str, dict[str, Any]] = {
    "aws:lambda/function:Function": {"version": "7"},
    "aws:lambda/alias:Alias": {"invokeArn": "arn:aws:apigateway:::live"},
    "aws:apigatewayv2/api:Api": {"executionArn": "arn:aws:execute-api:::models"},
}


def _here(service: str, path: str) -> Callable[[dict[str, Any], str], str]:
    return lambda inputs, account: f"arn:aws:{service}:eu-central-1:{account}:" + path.format(**inputs)


_ARNS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "aws:iam/role:Role": lambda i, account: f"arn:aws:iam::{account}:role{i['path']}{i['name']}",
    "aws:iam/policy:Policy": lambda i, account: f"arn:aws:iam::{account}:policy{i['path']}{i['name']}",
    "aws:s3/bucket:Bucket": lambda i, account: f"arn:aws:s3:::{i['bucket']}",
    "aws:sqs/queue:Queue": _here("sqs", "{name}"),
    "aws:eks/cluster:Cluster": _here("eks", "cluster/{name}"),
    "aws:ecr/repository:Repository": _here("ecr", "repository/{name}"),
    "aws:rds/instance:Instance": _here("rds", "db:{identifier}"),
    "aws:secretsmanager/secret:Secret": _here("secretsmanager", "secret:{name}-AbCdEf"),
    "aws:cloudwatch/logGroup:LogGroup": _here("logs", "log-group:{name}"),
    "aws:backup/vault:Vault": _here("backup", "backup-vault:{name}"),
    "aws:cloudtrail/trail:Trail": _here("cloudtrail", "trail/{name}"),
}


@dataclass(frozen=True)
class Graph:
    resources: tuple[Resource, ...]
    kept: frozenset[tuple[str, str]] = frozenset()  # types and names of what the engine may not delete

    def of(self, kind: str) -> list[Resource]:
        """Of `s3.Bucket`, `iam.Role` ..."""
        service, name = kind.split(".")
        token = f"aws:{service}/{name[0].lower()}{name[1:]}:{name}"
        return [item for item in self.resources if item.typ == token]

    def one(self, kind: str, name: str) -> Resource:
        (found,) = [item for item in self.of(kind) if item.name == name]
        return found

    def aws(self) -> Iterator[Resource]:
        yield from (item for item in self.resources if item.typ.startswith("aws:"))


def fleet(models: int, stacks: dict[str, str] = STACKS) -> Repository:
    """The stacks of this repository with as many models and jobs as wanted, or as it has."""
    files = dict(stacks)
    for name in [*_OWN, *(f"model-{number}" for number in range(models - len(_OWN)))]:
        files[f"model-servers/{name}/model.yaml"] = MODEL.replace("iris", name)
        files[f"training-jobs/{name}/job.yaml"] = JOB.replace("name: iris\n", f"name: {name}\n").replace(
            "model: iris", f"model: {name}"
        )
    return load(files)


@cache
def own(env: str, models: int = 7) -> Graph:
    """Of an environment of this repository, with so many models."""
    return graph(fleet(models), env)


def graph(
    repository: Repository,
    env: str,
    account: str | None = None,
    published: Mapping[str, str] | None = None,
    manifests: bool = False,
) -> Graph:
    """What the program registers in AWS for an environment, and in the cluster if `manifests`.

    `account`: whose credentials it finds, none if empty.
    """
    cloud = repository.environments[env].cloud
    engine = Engine(
        account if account is not None else (cloud.account if cloud else ""), published=published or {}
    )
    before = settings.SETTINGS
    asyncio.set_event_loop(_LOOP)
    try:
        mocks.set_mocks(engine, project="mainline", stack=env)

        @pulumi.runtime.test
        def program() -> None:
            pulumi.runtime.register_stack_transformation(engine.note)
            create(repository, env)
            if manifests:
                register(repository, env, ROOT)

        program()
    finally:
        settings.configure(before)
        asyncio.set_event_loop(None)
    return Graph(tuple(engine.seen.values()), frozenset(engine.kept))
