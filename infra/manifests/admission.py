"""What the API server refuses: one ValidatingAdmissionPolicy with its binding for each declared rule."""

from collections.abc import Iterable, Sequence
from typing import Any

from infra.declarations.environment import Environment
from infra.declarations.policy import Named, Policy, ResourceRule, Validation
from infra.declarations.waiver import Waiver
from infra.manifests.manifest import SYNC_WAVE, Manifest, manifest

_API = "admissionregistration.k8s.io/v1"
_DESCRIPTION = "mainline.dev/description"
# Kind/namespace/name of what a request is about; pods of a Job are named by the beginning alone when they are made.
_SUBJECT = (
    "(request.kind.kind + '/' + request.namespace + '/' + "
    "(request.name != '' ? request.name : object.metadata.?generateName.orValue('')))"
)
_WAVE = {SYNC_WAVE: "-2"}  # before the namespaces, so that nothing slips in first


def admission(
    environment: Environment, policies: Iterable[Policy], waivers: Sequence[Waiver] = ()
) -> list[Manifest]:
    rules = ((policy, [one.object for one in waivers if one.rule == policy.name]) for policy in policies)
    return [item for rule, waived in rules for item in (_policy(environment, rule, waived), _binding(rule))]


def policy_name(policy: Policy) -> str:
    return f"{policy.name}.mainline.dev"


def _policy(environment: Environment, policy: Policy, waived: Sequence[str]) -> Manifest:
    spec: Manifest = {
        "failurePolicy": "Fail",
        "matchConstraints": _constraints(policy),
        "validations": [_validation(validation) for validation in policy.validations],
    }
    if conditions := [*_waived(waived), *map(_named, policy.conditions)]:
        spec["matchConditions"] = conditions
    if variables := [*_facts(environment, policy), *map(_named, policy.variables)]:
        spec["variables"] = variables
    annotations = {**_WAVE, _DESCRIPTION: policy.description}
    kind = f"{_API}/ValidatingAdmissionPolicy"
    return manifest(kind, policy_name(policy), annotations=annotations, spec=spec)


def _waived(objects: Sequence[str]) -> list[Manifest]:
    """The rule does not look at objects with a waiver; when it ends is for `mainline check`, CEL knows no date."""
    if not objects:
        return []
    tests = [f"{_SUBJECT}.startsWith('{one[:-1]}')" for one in objects if one.endswith("*")]
    exact = [one for one in objects if not one.endswith("*")]
    tests += [f"{_SUBJECT} in {_literal(exact)}"] if exact else []
    return [{"name": "waived", "expression": f"!({' || '.join(tests)})"}]


def _binding(policy: Policy) -> Manifest:
    spec = {"policyName": policy_name(policy), "validationActions": ["Deny"]}
    kind = f"{_API}/ValidatingAdmissionPolicyBinding"
    return manifest(kind, policy_name(policy), annotations=_WAVE, spec=spec)


def _constraints(policy: Policy) -> Manifest:
    where = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(policy.namespaces)}
    return {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": [where]},
        "resourceRules": [_rule(rule) for rule in policy.resources],
    }


def _rule(rule: ResourceRule) -> Manifest:
    return {
        "apiGroups": list(rule.groups),
        "apiVersions": list(rule.versions),
        "operations": list(rule.operations),
        "resources": list(rule.resources),
    }


def _named(named: Named) -> Manifest:
    return {"name": named.name, "expression": named.expression.strip()}


def _validation(validation: Validation) -> Manifest:
    return {
        "expression": validation.expression.strip(),
        "messageExpression": validation.message.strip(),
        "reason": validation.reason,
    }


def _facts(environment: Environment, policy: Policy) -> list[Manifest]:
    """What differs between environments, as variables of the rules that use them."""
    ours = environment.images
    images = sorted({_repository(image) for image in (ours.v2serve, ours.training, ours.fleet)})
    facts: dict[str, Any] = {
        "repositories": images,
        "store": environment.store,
        "pinned": environment.images.pinned,
        "server": environment.ceilings.server,
        "gpus": environment.ceilings.gpus,
    }
    own = [variable.expression for variable in policy.variables]
    own += [text for one in policy.validations for text in (one.expression, one.message)]
    return [
        {"name": name, "expression": _literal(value)}
        for name, value in facts.items()
        if any(f"variables.{name}" in text for text in own)
    ]


def _repository(image: str) -> str:
    """The image without its tag or digest: an upgrade of the tag must not refuse the pods that still run the old."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def _literal(value: str | int | list[str]) -> str:
    """A CEL literal; declarations hold neither quotes nor backslashes in these."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return f"'{value}'" if isinstance(value, str) else str(value)
