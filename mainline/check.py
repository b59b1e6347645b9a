"""mainline check: every rule on every rendered object, as Argo CD and the controllers would bring it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from infra.declarations.document import read_document
from infra.declarations.repository import Repository, load
from infra.declarations.tree import read_tree
from infra.declarations.waiver import WAIVERS_FILE
from infra.manifests.admission import policy_name
from infra.manifests.manifest import identity
from infra.render import read_rendered
from mainline.cost import priced, read_prices
from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import Places
from policies.cloud.rules import NAMES as CLOUD_RULES
from policies.evaluate import Policy, PolicyError, bound, refusals
from policies.request import ARGO_CD, JOB_CONTROLLER, Object, Request, User
from policies.tree import rules as tree_rules
from policies.tree.found import pod_templates
from policies.waivers import refused, subject, waived

BUDGET = "budget"
_RUNS = ("Job", "TrainingRuntime")
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


def check(places: Places, envs: Sequence[str], today: date | None = None) -> list[Checked]:
    """The committed clusters/ of environments (all by default), with the rules that are rendered there.

    `today`: the day that waivers are held against, by default that of the commit: its answer stays the same.
    """
    repository = load(read_tree(places.root))
    known = sorted(repository.environments)
    unknown = [env for env in envs if env not in known]
    if unknown:
        raise Refusal(f"unknown environment {unknown[0]!r}; there are {', '.join(known)}")
    _refuse_waivers(places, repository, today)
    return [_checked(places, repository, env) for env in envs or known]


def _refuse_waivers(places: Places, repository: Repository, today: date | None) -> None:
    if not repository.waivers:
        return
    rules = {*repository.policies, *tree_rules.NAMES, *CLOUD_RULES, BUDGET}
    document = read_document(WAIVERS_FILE, (places.root / WAIVERS_FILE).read_text())
    said = list(refused(document, repository.waivers, rules, today or _day(places)))
    if said:
        raise Refusal("\n".join(said))


def _day(places: Places) -> date:
    """The day of the newest commit, in UTC."""
    asked = ("show", "-s", "--format=%cd", "--date=format-local:%Y-%m-%d", "HEAD")
    day = Git(places.root).run(*asked, check=False, extra={"TZ": "UTC"}).strip()
    if not day:
        raise Refusal("waivers end on a day, and there is no commit to take it of; give --today YYYY-MM-DD")
    return date.fromisoformat(day)


def _checked(places: Places, repository: Repository, env: str) -> Checked:
    objects = rendered_objects(places, env)
    policies = bound(objects)
    if not policies:
        raise Refusal(f"clusters/{env}/ puts no admission rule into force; run make render")
    try:
        spaces = [item for item in objects if item["kind"] == "Namespace"]
        found = [one for item in objects for one in _violations(env, policies, spaces, item)]
    except PolicyError as error:
        raise Refusal(_at_home(repository, str(error))) from error
    found += _of_the_tree(repository, env, objects)
    found += _of_the_budget(places, repository, env)
    return Checked(env, len(policies) + len(tree_rules.NAMES) + 1, len(objects), tuple(found))


def _at_home(repository: Repository, said: str) -> str:
    """What is wrong with a rule, with the file that it was rendered from."""
    name, _, reason = said.partition(": ")
    homes = {
        policy_name(policy): f"policies/{policy.name}/policy.yaml" for policy in repository.policies.values()
    }
    return f"{homes[name]}: {reason}; mend it, then run mainline render" if name in homes else said


def _of_the_tree(repository: Repository, env: str, objects: Sequence[Object]) -> Iterator[Violation]:
    for rule, one in tree_rules.found(repository, env, objects):
        if not waived(repository.waivers, rule, subject(one.object)):
            yield Violation(env, identity(one.object), rule, one.message)


def _of_the_budget(places: Places, repository: Repository, env: str) -> Iterator[Violation]:
    """The object of a budget is the stack file that declares it."""
    file = f"Pulumi.{env}.yaml"
    if not waived(repository.waivers, BUDGET, file):
        for message in priced(repository, env, read_prices(places.root)).over:
            yield Violation(env, file, BUDGET, message)


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
    env: str, policies: Sequence[Policy], spaces: Sequence[Object], item: Object
) -> Iterator[Violation]:
    """Of one object, and of the pods that the Job controller makes of it."""
    if item["apiVersion"] == _ADMISSION:
        return
    for user, shown in ((ARGO_CD, item), *((JOB_CONTROLLER, pod) for pod in _pods(item))):
        request = create(user, shown, spaces)
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
    """The pods of a run, as the Job controller makes them."""
    for template in pod_templates(item) if item["kind"] in _RUNS else ():
        if "spec" not in template:
            raise Refusal(f"{identity(item)}: a pod's template has no spec; run make render")
        name, space = item["metadata"]["name"], item["metadata"].get("namespace", "default")
        metadata = {**template.get("metadata", {}), "name": name, "namespace": space}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
