"""mainline check: every admission rule on every rendered object, as Argo CD and the controllers would bring it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.manifest import identity
from infra.render import read_rendered
from mainline.errors import Refusal
from mainline.places import Places
from policies.evaluate import Policy, PolicyError, bound, refusals
from policies.request import ARGO_CD, JOB_CONTROLLER, Object, Request, User

_ADMISSION = "admissionregistration.k8s.io/v1"  # which no ValidatingAdmissionPolicy ever looks at


@dataclass(frozen=True, slots=True)
class Violation:
    """One rendered object that the API server would refuse."""

    env: str
    object: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at in one environment, and what was found."""

    env: str
    rules: int
    objects: int
    violations: tuple[Violation, ...]


def check(places: Places, envs: Sequence[str]) -> list[Checked]:
    """The committed clusters/ of environments (all by default), with the rules that are rendered there."""
    known = sorted(load(read_tree(places.root)).environments)
    unknown = [env for env in envs if env not in known]
    if unknown:
        raise Refusal(f"unknown environment {unknown[0]!r}; there are {', '.join(known)}")
    return [_checked(places, env) for env in envs or known]


def _checked(places: Places, env: str) -> Checked:
    objects = rendered_objects(places, env)
    policies = bound(objects)
    if not policies:
        raise Refusal(f"clusters/{env}/ puts no admission rule into force; run make render")
    try:
        found = [one for item in objects for one in _violations(env, policies, objects, item)]
    except PolicyError as error:
        raise Refusal(str(error)) from error
    return Checked(env, len(policies), len(objects), tuple(found))


def rendered_objects(places: Places, env: str) -> list[Object]:
    """The objects below clusters/<env>/ as Argo CD would read them."""
    found: list[Object] = []
    for path, text in read_rendered(places.root, env).items():
        try:
            found += [_object(path, one) for one in yaml.load_all(text, Loader=yaml.CSafeLoader)]
        except yaml.YAMLError as error:
            raise Refusal(f"{path}: not YAML: {str(error).splitlines()[0]}; run make render") from error
    return found


def _object(path: str, value: Any) -> Object:
    named = isinstance(value, dict) and isinstance(value.get("metadata"), dict)
    if not named or not {"apiVersion", "kind"} <= set(value) or "name" not in value["metadata"]:
        raise Refusal(f"{path}: is no object with apiVersion, kind and metadata.name; run make render")
    found: Object = value
    return found


def _violations(
    env: str, policies: Sequence[Policy], objects: Sequence[Object], item: Object
) -> Iterator[Violation]:
    """Of one object, and of the pods that the Job controller makes of it."""
    if item["apiVersion"] == _ADMISSION:
        return
    for user, shown in ((ARGO_CD, item), *((JOB_CONTROLLER, pod) for pod in _pods(item))):
        request = create(user, shown, objects)
        for policy in policies:
            name = policy["metadata"]["name"].partition(".")[0]
            for message in refusals(policy, request):
                yield Violation(env, identity(shown), name, message)


def create(user: User, item: Object, objects: Sequence[Object]) -> Request:
    """The request that makes an object, in the namespace as it is rendered."""
    space = item["metadata"].get("namespace")
    around = [one for one in objects if one["kind"] == "Namespace" and one["metadata"]["name"] == space]
    return Request("CREATE", user, item, namespace=around[0] if around else None)


def _pods(item: Object) -> Iterator[Object]:
    if item["kind"] == "Job":
        template, name = item["spec"]["template"], item["metadata"]["name"]
        metadata = {
            **template.get("metadata", {}),
            "name": name,
            "namespace": item["metadata"].get("namespace", "default"),
        }
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
