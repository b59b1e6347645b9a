"""Names are computed: what manifests call by name is what the cloud makes under that name."""

import re
from collections.abc import Iterator

import pytest

from infra.declarations import naming
from infra.declarations.repository import Repository
from infra.render import render
from tests.infra.cloud.graph import ENVIRONMENTS, ROOT, Graph, fleet, graph, own

# What in a manifest is a name in AWS, and what kind of name.
_ARN = re.compile(r"arn:aws:[a-z0-9-]*:[a-z0-9-]*:[0-9]*:[-A-Za-z0-9_/:.*]+")
_BUCKET = re.compile(r"s3://([a-z0-9][-a-z0-9.]+)")
_IMAGE = re.compile(r"[0-9]{12}\.dkr\.ecr\.[-a-z0-9]+\.amazonaws\.com/([-a-z0-9/]+)")
_OURS = re.compile(r"(?m)image: ['\"]?([^ '\"]*/)?mainline/([-a-z0-9]+)[:@]")
_NAME = re.compile(r"\bmainline-(?:dev|staging|prod)-(?!state)[a-z0-9-]+")
# Objects of Kubernetes whose names look like those in AWS; their own file names say so.
_OBJECT = re.compile(r"(?m)^\s*(?:- )?(?:name|path): .*$")


def made(of: Graph) -> set[str]:
    """Every name and ARN that the program registers."""
    keys = ("name", "bucket", "identifier", "roleArn", "nodeGroupName")
    inputs = {str(item.inputs[key]) for item in of.aws() for key in keys if key in item.inputs}
    return inputs | {str(item.outputs["arn"]) for item in of.aws()}


def called(repository: Repository, env: str) -> Iterator[tuple[str, str]]:
    for path, text in render(repository, env).items():
        yield from ((path, arn) for arn in _ARN.findall(text))
        yield from ((path, bucket) for bucket in _BUCKET.findall(text))
        yield from ((path, image) for image in _IMAGE.findall(text))
        yield from ((path, name) for name in _NAME.findall(_OBJECT.sub("", text)))


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_what_manifests_call_by_name_is_made_under_that_name(env: str) -> None:
    repository = fleet(7)
    names = made(own(env))
    found = list(called(repository, env))
    assert [(path, name) for path, name in found if name not in names] == []
    assert {"mainline/v2serve", "mainline/training"} <= {name for _, name in found}
    assert f"mainline-{env}-models-{repository.environments[env].cloud.account}" in {n for _, n in found}  # type: ignore[union-attr]


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_committed_manifests_call_nothing_else_either(env: str) -> None:
    names = made(own(env))
    for file in (ROOT / "clusters" / env).rglob("*.yaml"):
        text = file.read_text()
        assert set(_ARN.findall(text)) | set(_BUCKET.findall(text)) | set(_IMAGE.findall(text)) <= names, file


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_each_of_our_images_has_a_repository_and_manifests_take_it_from_their_own_account(env: str) -> None:
    cloud, ours = fleet(0).environments[env].cloud, {"v2serve", "training", "training-fleet"}
    assert cloud is not None
    assert {made.inputs["name"] for made in own(env).of("ecr.Repository")} == {
        f"mainline/{one}" for one in ours
    }
    trees = [file.read_text() for file in (ROOT / "clusters" / env).rglob("*.yaml")]
    named = {found for text in trees for found in _OURS.findall(text)}
    assert named == {(f"{naming.image_host(cloud)}/", one) for one in ours}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_computed_arn_of_a_role_is_the_one_that_the_program_registers(env: str) -> None:
    cloud = fleet(0).environments[env].cloud
    assert cloud is not None
    roles = {role.inputs["name"]: role.outputs["arn"] for role in own(env).of("iam.Role")}
    assert {name: naming.role_arn(cloud, env, name) for name in roles} == roles
    (boundary,) = own(env).of("iam.Policy")
    assert boundary.outputs["arn"] == naming.boundary_arn(cloud, env)
    (queue,) = own(env).of("sqs.Queue")
    assert queue.outputs["arn"] == naming.queue_arn(cloud, env)
    (cluster,) = own(env).of("eks.Cluster")
    assert cluster.outputs["arn"] == naming.cluster_arn(cloud, env)


def test_the_same_commit_gives_the_same_names() -> None:
    first, second = (graph(fleet(3), "staging") for _ in range(2))
    assert {(item.typ, item.name): item.inputs for item in first.resources} == {
        (item.typ, item.name): item.inputs for item in second.resources
    }


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_no_two_resources_of_a_kind_have_one_name(env: str) -> None:
    named = [(item.typ, item.inputs["name"]) for item in own(env).aws() if "name" in item.inputs]
    assert len(named) == len(set(named))


def test_names_that_would_be_too_long_end_with_a_digest_and_stay_apart() -> None:
    models = [f"{'m' * 28}-{letter * 3}" for letter in "ab"]
    roles = [naming.model_role("e" * 32, model) for model in models]
    assert [len(role) for role in roles] == [64, 64]
    assert len(set(roles)) == 2
    assert all(re.fullmatch(r"mainline-e+-[-a-z0-9]*-[0-9a-f]{8}", role) for role in roles)


def test_a_name_that_fits_is_left_as_it_is() -> None:
    assert naming.model_role("dev", "iris") == "mainline-dev-model-iris"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("s3://models", ("models", "")),
        ("s3://models/some/where", ("models", "some/where/")),
    ],
)
def test_a_store_is_a_bucket_and_a_prefix(address: str, expected: tuple[str, str]) -> None:
    assert naming.bucket_of(address) == expected
