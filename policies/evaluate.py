"""What the API server would say to a request: ValidatingAdmissionPolicies, matched and evaluated with Google's CEL.

Left out, because no rule here uses it: parameters, `authorizer`, resourceNames, objectSelector, and what Kubernetes
adds to CEL (quantity, url, cidr, regex find); a rule with one of these is refused. Variables are not lazy here: one
that has no answer refuses the request, also where the API server would not have asked for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from policies.request import Object, Request

Policy = Mapping[str, Any]

_NAMES = ("object", "oldObject", "request", "namespaceObject", "variables")
_KNOWN = {"failurePolicy", "matchConditions", "matchConstraints", "validations", "variables"}
_MATCHED = {"matchPolicy", "namespaceSelector", "resourceRules"}
_RULED = {"apiGroups", "apiVersions", "operations", "resources"}
_SELECTED = {"matchExpressions", "matchLabels"}


class PolicyError(ValueError):
    """A rule that cannot be evaluated at all; names the rule and the place in it."""


class _Unanswered(Exception):
    """An expression that gave an error instead of a value; says which."""


def bound(objects: Sequence[Object]) -> list[Policy]:
    """The policies among the objects that a binding puts into force with Deny."""
    bindings = [item["spec"] for item in objects if item["kind"] == "ValidatingAdmissionPolicyBinding"]
    denied = {spec["policyName"] for spec in bindings if "Deny" in spec["validationActions"]}
    policies = [item for item in objects if item["kind"] == "ValidatingAdmissionPolicy"]
    return [item for item in policies if item["metadata"]["name"] in denied]


def refusals(policy: Policy, request: Request) -> list[str]:
    """Why the policy refuses the request, one message each; empty if it lets it pass or does not look at it."""
    spec = policy["spec"]
    _refuse_unknown(policy, "spec", spec, _KNOWN)
    if not matches(policy, request):
        return []
    facts = {
        "object": request.object,
        "oldObject": request.old,
        "request": request.as_cel(),
        "namespaceObject": request.around,
    }
    try:
        conditions = [_value(policy, one["expression"], facts) for one in spec.get("matchConditions", ())]
        if not all(conditions):
            return []
        return list(_violations(policy, facts | {"variables": _variables(policy, facts)}))
    except _Unanswered as error:  # failurePolicy Fail
        return [str(error)]


def matches(policy: Policy, request: Request) -> bool:
    """Whether the policy looks at the request: its resource, its operation, and the labels of its namespace."""
    constraints = policy["spec"]["matchConstraints"]
    _refuse_unknown(policy, "spec.matchConstraints", constraints, _MATCHED)
    for rule in constraints["resourceRules"]:
        _refuse_unknown(policy, "spec.matchConstraints.resourceRules", rule, _RULED)
    if not any(_rule_matches(rule, request) for rule in constraints["resourceRules"]):
        return False
    around, selector = request.around, constraints.get("namespaceSelector", {})
    _refuse_unknown(policy, "spec.matchConstraints.namespaceSelector", selector, _SELECTED)
    return around is None or _selects(selector, around["metadata"]["labels"])


def _refuse_unknown(policy: Policy, place: str, fields: Mapping[str, Any], known: set[str]) -> None:
    for name in sorted(set(fields) - known):
        rule = policy["metadata"]["name"]
        raise PolicyError(f"{rule}: {place}.{name} is not evaluated here; write the rule without it")


def _rule_matches(rule: Mapping[str, Any], request: Request) -> bool:
    asked = (
        ("apiGroups", request.group),
        ("apiVersions", request.version),
        ("operations", request.operation),
        ("resources", request.resource),
    )
    return all(value in rule[key] or "*" in rule[key] for key, value in asked)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items()
    tests = (_holds(test, labels) for test in selector.get("matchExpressions", ()))
    return all(labels.get(key) == value for key, value in wanted) and all(tests)


def _holds(test: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    found, values = labels.get(test["key"]), test.get("values", ())
    answers = {
        "In": found in values,
        "NotIn": found not in values,
        "Exists": found is not None,
        "DoesNotExist": found is None,
    }
    return answers[test["operator"]]


def _variables(policy: Policy, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Each variable may read those before it."""
    found: dict[str, Any] = {}
    for variable in policy["spec"].get("variables", ()):
        found[variable["name"]] = _value(policy, variable["expression"], {**facts, "variables": found})
    return found


def _violations(policy: Policy, facts: Mapping[str, Any]) -> Iterator[str]:
    for validation in policy["spec"]["validations"]:
        try:
            if _value(policy, validation["expression"], facts) is not True:
                yield str(_value(policy, validation["messageExpression"], facts))
        except _Unanswered as error:
            yield str(error)


def _value(policy: Policy, expression: str, facts: Mapping[str, Any]) -> Any:
    name = policy["metadata"]["name"]
    answer = _compiled(name, expression).eval(data={"variables": {}, **facts})
    if answer.type().name() == "ERROR":
        raise _Unanswered(f"{name}: {expression!r} has no answer: {answer.value()}")
    return answer.plain_value()


@cache
def _environment() -> Any:
    try:
        from cel_expr_python import cel  # type: ignore[import-untyped,unused-ignore]
        from cel_expr_python.ext import ext_optional, ext_strings  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise PolicyError(f"rules are evaluated with cel-expr-python: {error}; run make test once") from None
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional()]
    return cel.NewEnv(variables=dict.fromkeys(_NAMES, cel.Type.DYN), extensions=extensions)


@cache
def _compiled(name: str, expression: str) -> Any:
    try:
        return _environment().compile(expression)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise PolicyError(f"{name}: {expression!r} is not CEL: {lines[0]}") from None
