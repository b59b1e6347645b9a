"""The graph of each environment: what is encrypted, tagged, reachable and named, and what refers to what."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pytest

from infra.declarations.release import Release
from infra.declarations.repository import Repository
from tests.infra.cloud.graph import ENVIRONMENTS, STACKS, Graph, fleet, graph, own
from tests.infra.samples import version

EVERYWHERE = pytest.mark.parametrize("env", ENVIRONMENTS)
_ENCRYPTED_BY_KEY = {"models", "dvc", "mlflow", "trail", "config", "velero"}


def buckets(of: Graph, kind: str) -> dict[str, dict[str, Any]]:
    """What each bucket has of a kind, by the bucket's name."""
    return {item.inputs["bucket"]: item.inputs for item in of.of(f"s3.{kind}")}


def statements(of: Graph, bucket: str) -> dict[str, dict[str, Any]]:
    return {s["Sid"]: s for s in json.loads(buckets(of, "BucketPolicy")[bucket]["policy"])["Statement"]}


@EVERYWHERE
def test_every_bucket_is_private_versioned_and_named_by_its_account(env: str) -> None:
    found = own(env)
    names = {item.inputs["bucket"] for item in found.of("s3.Bucket")}
    blocks = buckets(found, "BucketPublicAccessBlock")
    flags = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    assert {name for name, block in blocks.items() if all(block[flag] for flag in flags)} == names
    versioned = buckets(found, "BucketVersioning").items()
    assert {n for n, v in versioned if v["versioningConfiguration"]["status"] == "Enabled"} == names
    owned = buckets(found, "BucketOwnershipControls").items()
    assert {n for n, o in owned if o["rule"]["objectOwnership"] == "BucketOwnerEnforced"} == names
    assert set(buckets(found, "BucketLifecycleConfiguration")) == names
    assert all(re.fullmatch(rf"mainline-{env}-[a-z]+-[0-9]{{12}}", name) for name in names)


@EVERYWHERE
def test_every_bucket_takes_nothing_but_tls(env: str) -> None:
    found = own(env)
    for bucket in (item.inputs["bucket"] for item in found.of("s3.Bucket")):
        only = statements(found, bucket)["TlsOnly"]
        assert only["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert (only["Effect"], only["Principal"]) == ("Deny", "*")
        assert only["Resource"] == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


@EVERYWHERE
def test_no_bucket_lets_the_public_in(env: str) -> None:
    for policy in own(env).of("s3.BucketPolicy"):
        allows = [s for s in policy.document("policy")["Statement"] if s["Effect"] == "Allow"]
        assert [s for s in allows if s["Principal"] == "*" or "AWS" in s["Principal"]] == []


@EVERYWHERE
def test_everything_that_keeps_data_is_encrypted(env: str) -> None:
    found = own(env)
    for name, rules in buckets(found, "BucketServerSideEncryptionConfiguration").items():
        (rule,) = rules["rules"]
        by = rule["applyServerSideEncryptionByDefault"]
        kind = name.split("-")[2]
        assert by["sseAlgorithm"] == ("aws:kms" if kind in _ENCRYPTED_BY_KEY else "AES256")
        assert ("kmsMasterKeyId" in by) is (kind in _ENCRYPTED_BY_KEY)
    assert len(found.of("s3.Bucket")) == len(found.of("s3.BucketServerSideEncryptionConfiguration"))
    assert all(group.inputs["kmsKeyId"] for group in found.of("cloudwatch.LogGroup"))
    assert all(queue.inputs["sqsManagedSseEnabled"] for queue in found.of("sqs.Queue"))
    assert all(key.inputs["enableKeyRotation"] for key in found.of("kms.Key"))
    assert all(r.inputs["encryptionConfigurations"][0]["kmsKey"] for r in found.of("ecr.Repository"))
    assert all(vault.inputs["kmsKeyArn"] for vault in found.of("backup.Vault"))
    assert all(trail.inputs["kmsKeyId"] for trail in found.of("cloudtrail.Trail"))
    assert all(secret.inputs["kmsKeyId"] for secret in found.of("secretsmanager.Secret"))
    assert found.one("ebs.EncryptionByDefault", "disks").inputs["enabled"] is True
    (template,) = found.of("ec2.LaunchTemplate")
    assert template.inputs["blockDeviceMappings"][0]["ebs"]["encrypted"] == "true"


def test_the_model_store_cannot_lose_an_object() -> None:
    lock = buckets(own("prod"), "BucketObjectLockConfiguration")["mainline-prod-models-333333333333"]
    assert lock["rule"]["defaultRetention"] == {"mode": "COMPLIANCE", "days": 365}
    (store,) = [b for b in own("prod").of("s3.Bucket") if b.name == "models"]
    assert store.inputs["objectLockEnabled"] is True
    assert store.inputs["forceDestroy"] is False


def test_the_trail_is_locked_and_config_s_records_cannot_be() -> None:
    """AWS Config refuses to deliver into a bucket whose objects are locked by default."""
    locked = buckets(own("prod"), "BucketObjectLockConfiguration")
    assert {name.split("-")[2] for name in locked} == {"models", "trail"}


@EVERYWHERE
def test_the_provider_tags_everything_with_the_mandatory_tags(env: str) -> None:
    found = own(env)
    (provider,) = [item for item in found.resources if item.typ == "pulumi:providers:aws"]
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert set(tags) == {"cost-centre", "environment", "managed-by", "project", "team"}
    assert all(tags.values())
    assert tags["environment"] == env
    assert {item.provider.rpartition("$")[2] for item in found.aws()} == {"pulumi:providers:aws::aws::aws-id"}


@EVERYWHERE
def test_machines_that_the_provider_does_not_start_have_the_tags_as_well(env: str) -> None:
    (template,) = own(env).of("ec2.LaunchTemplate")
    for specification in template.inputs["tagSpecifications"]:
        assert {"cost-centre", "environment", "managed-by", "project", "team"} <= set(specification["tags"])


def test_what_belongs_to_a_team_says_so() -> None:
    assert own("dev").one("iam.Role", "mainline-dev-model-iris").inputs["tags"] == {"team": "flowers"}


@EVERYWHERE
def test_nothing_can_be_called_from_the_internet(env: str) -> None:
    found = own(env)
    assert {rule.inputs.get("cidrIpv4") for rule in found.of("vpc.SecurityGroupIngressRule")} <= {
        None,
        _cloud(env).network.cidr,
    }
    assert not [subnet for subnet in found.of("ec2.Subnet") if subnet.inputs["mapPublicIpOnLaunch"]]
    config = found.one("eks.Cluster", "cluster").inputs["vpcConfig"]
    assert config["endpointPrivateAccess"] is True
    assert config["endpointPublicAccess"] is False
    assert not [db for db in found.of("rds.Instance") if db.inputs["publiclyAccessible"]]
    (nothing,) = found.of("ec2.DefaultSecurityGroup")
    assert (nothing.inputs["ingress"], nothing.inputs["egress"]) == ([], [])


def _cloud(env: str) -> Any:
    return fleet(0).environments[env].cloud


@EVERYWHERE
def test_only_public_subnets_have_a_route_to_the_internet_and_those_of_the_database_none(env: str) -> None:
    routes = {route.name: route.inputs for route in own(env).of("ec2.Route")}
    assert [name for name, route in routes.items() if "gatewayId" in route] == ["public"]
    assert sorted(n for n, route in routes.items() if "natGatewayId" in route) == [
        "private-a",
        "private-b",
        "private-c",
    ]
    assert "database" not in routes


@pytest.mark.parametrize(("env", "nats"), [("dev", 1), ("staging", 3), ("prod", 3)])
def test_a_field_says_how_many_nats_there_are(env: str, nats: int) -> None:
    found = own(env)
    assert len(found.of("ec2.NatGateway")) == len(found.of("ec2.Eip")) == nats
    used = {route.inputs["natGatewayId"] for route in found.of("ec2.Route") if "natGatewayId" in route.inputs}
    assert len(used) == nats


@EVERYWHERE
def test_subnets_lie_in_three_zones_and_apart(env: str) -> None:
    found = [subnet.inputs for subnet in own(env).of("ec2.Subnet")]
    networks = [IPv4Network(subnet["cidrBlock"]) for subnet in found]
    assert not [pair for pair in combinations(networks, 2) if pair[0].overlaps(pair[1])]
    assert all(network.subnet_of(IPv4Network(_cloud(env).network.cidr)) for network in networks)
    assert {s["availabilityZone"] for s in found} == {f"eu-central-1{zone}" for zone in "abc"}
    assert len(found) == 9


@EVERYWHERE
def test_the_cluster_s_secrets_have_a_key_and_its_logs_are_kept(env: str) -> None:
    found = own(env)
    cluster = found.one("eks.Cluster", "cluster").inputs
    assert cluster["encryptionConfig"]["resources"] == ["secrets"]
    assert cluster["encryptionConfig"]["provider"]["keyArn"] == found.one("kms.Key", "cluster").outputs["arn"]
    assert len(cluster["enabledClusterLogTypes"]) == 5
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    groups = {group.inputs["name"] for group in found.of("cloudwatch.LogGroup")}
    assert f"/aws/eks/mainline-{env}/cluster" in groups


@EVERYWHERE
def test_every_add_on_is_pinned(env: str) -> None:
    addons = {item.inputs["addonName"]: item.inputs["addonVersion"] for item in own(env).of("eks.Addon")}
    assert {"eks-pod-identity-agent", "vpc-cni", "coredns", "kube-proxy"} <= set(addons)
    assert all(re.fullmatch(r"v[0-9.]+-eksbuild\.[0-9]+", version) for version in addons.values())


@EVERYWHERE
def test_network_policies_are_enforced(env: str) -> None:
    cni = own(env).one("eks.Addon", "vpc-cni").inputs["configurationValues"]
    assert json.loads(cni)["enableNetworkPolicy"] == "true"


@EVERYWHERE
def test_pods_cannot_take_the_role_of_their_machine(env: str) -> None:
    options = own(env).of("ec2.LaunchTemplate")[0].inputs["metadataOptions"]
    assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)


@pytest.mark.parametrize(("env", "zones", "protected"), [("dev", False, False), ("prod", True, True)])
def test_the_database_is_what_its_environment_says(env: str, zones: bool, protected: bool) -> None:
    (database,) = (item.inputs for item in own(env).of("rds.Instance"))
    assert (database["multiAz"], database["deletionProtection"]) == (zones, protected)
    assert database["skipFinalSnapshot"] is not protected
    assert database["storageEncrypted"] is True
    assert database["iamDatabaseAuthenticationEnabled"] is True


_DATA = ("eks.Cluster", "rds.Instance", "s3.Bucket", "kms.Key", "backup.Vault", "ecr.Repository")


@pytest.mark.parametrize(("env", "protected"), [("dev", False), ("staging", True), ("prod", True)])
def test_what_holds_data_is_deleted_only_after_a_commit_that_says_so(env: str, protected: bool) -> None:
    found = own(env)
    data = {(item.typ, item.name) for kind in _DATA for item in found.of(kind)}
    assert data & found.kept == (data if protected else set())
    assert found.one("eks.Cluster", "cluster").inputs["deletionProtection"] is protected


def test_a_pull_request_reads_no_object_of_a_store_with_a_name_of_its_own() -> None:
    stacks = dict(STACKS)
    stacks["Pulumi.dev.yaml"] += "  mainline:store: s3://our-own-models/here\n"
    found = graph(fleet(1, stacks), "dev")
    (plan,) = [
        json.loads(p["policy"])
        for p in found.one("iam.Role", "mainline-dev-ci-plan").inputs["inlinePolicies"]
    ]
    (denied,) = [s["Resource"] for s in plan["Statement"] if s["Sid"] == "NoData"]
    assert "arn:aws:s3:::our-own-models/*" in denied
    assert "our-own-models" in {item.inputs["bucket"] for item in found.of("s3.Bucket")}
    iris = found.one("iam.Role", "mainline-dev-model-iris").inputs["inlinePolicies"][0]["policy"]
    assert "arn:aws:s3:::our-own-models/here/iris/*" in iris


@EVERYWHERE
def test_no_password_is_anywhere_in_the_graph(env: str) -> None:
    for item in own(env).aws():
        assert not [key for key in item.inputs if re.search(r"^(password|secretString|secretBinary)", key)]
    assert all(db.inputs["manageMasterUserPassword"] for db in own(env).of("rds.Instance"))


@EVERYWHERE
def test_images_never_change_under_their_tag(env: str) -> None:
    for repository in own(env).of("ecr.Repository"):
        assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
        assert repository.inputs["imageScanningConfiguration"]["scanOnPush"] is True


def test_images_go_on_to_the_accounts_that_take_them() -> None:
    (sends,) = own("dev").of("ecr.ReplicationConfiguration")
    (rule,) = sends.inputs["replicationConfiguration"]["rules"]
    assert {to["registryId"] for to in rule["destinations"]} == {"222222222222", "333333333333"}
    (takes,) = own("prod").of("ecr.RegistryPolicy")
    assert takes.document("policy")["Statement"][0]["Principal"] == {
        "AWS": ["arn:aws:iam::111111111111:root"]
    }


@EVERYWHERE
def test_every_database_and_every_bucket_of_data_has_a_copy(env: str) -> None:
    found = own(env)
    (selection,) = found.of("backup.Selection")
    wanted = {item.outputs["arn"] for item in found.of("rds.Instance")}
    wanted |= {
        item.outputs["arn"] for item in found.of("s3.Bucket") if item.name in ("models", "dvc", "mlflow")
    }
    assert set(selection.inputs["resources"]) == wanted


@EVERYWHERE
def test_the_trail_hears_of_everything_and_of_every_object_in_the_store(env: str) -> None:
    (trail,) = (item.inputs for item in own(env).of("cloudtrail.Trail"))
    assert trail["isMultiRegionTrail"] is True
    assert trail["enableLogFileValidation"] is True
    heard = {selector["name"]: selector["fieldSelectors"] for selector in trail["advancedEventSelectors"]}
    stored = [f["startsWiths"] for f in heard["Who reads and writes models"] if f["field"] == "resources.ARN"]
    assert stored == [[f"arn:aws:s3:::mainline-{env}-models-{_cloud(env).account}/"]]


@pytest.mark.parametrize(("env", "recorders"), [("dev", 0), ("prod", 1)])
def test_a_field_says_whether_config_records(env: str, recorders: int) -> None:
    assert len(own(env).of("cfg.Recorder")) == len(own(env).of("cfg.RecorderStatus")) == recorders


@EVERYWHERE
def test_the_budget_is_that_of_the_stack_file(env: str) -> None:
    (budget,) = (item.inputs for item in own(env).of("budgets.Budget"))
    assert budget["limitAmount"] == str(_cloud(env).budget.monthly)
    alarms = [(alarm["notificationType"], alarm["threshold"]) for alarm in budget["notifications"]]
    assert alarms == [("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]


def test_a_team_has_a_budget_of_its_own_by_its_tag() -> None:
    stacks = dict(STACKS)
    stacks["Pulumi.dev.yaml"] = re.sub(
        r"budget: {monthly: [0-9]+,",
        "budget: {monthly: 900, teams: {flowers: 50},",
        stacks["Pulumi.dev.yaml"],
    )
    budget = graph(fleet(1, stacks), "dev").one("budgets.Budget", "team-flowers").inputs
    assert budget["limitAmount"] == "50"
    assert budget["costFilters"] == [{"name": "TagKeyValue", "values": ["user:team$flowers"]}]


def _released(repository: Repository, env: str, letter: str) -> Repository:
    return replace(repository, releases={("iris", env): Release(stable=version(1, letter))})


@EVERYWHERE
def test_a_promotion_changes_nothing_in_the_cloud(env: str) -> None:
    before, after = _released(fleet(7), env, "a"), _released(fleet(7), env, "b")
    graphs = [
        {(item.typ, item.name): item.inputs for item in graph(it, env).resources} for it in (before, after)
    ]
    assert graphs[0] == graphs[1]


@EVERYWHERE
def test_a_new_model_adds_its_role_and_changes_nothing_else(env: str) -> None:
    seven = {(item.typ, item.name): item.inputs for item in own(env).resources}
    eight = {(item.typ, item.name): item.inputs for item in own(env, 8).resources}
    assert {key: eight[key] for key in seven} == seven
    added = {typ for typ, _ in set(eight) - set(seven)}
    assert added == {"aws:iam/role:Role", "aws:eks/podIdentityAssociation:PodIdentityAssociation"}
