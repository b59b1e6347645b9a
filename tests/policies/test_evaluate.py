"""The evaluator answers as the API server does, and refuses a rule that it cannot answer for."""

import sys
from typing import Any

import pytest

from infra.declarations.repository import load
from policies.evaluate import PolicyError, bound, matches, refusals
from policies.request import ORDINARY, Request
from tests.infra.samples import problems, tree

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "models"}, "spec": {"n": 1}}
RULE = """\
name: small
owner: platform
description: Small things only.
namespaces: [models]
resources: [{apiGroups: [""], resources: [pods], operations: [CREATE]}]
validations:
  - {expression: object.spec.n < 3, messageExpression: "'n of ' + request.name + ' is ' + string(object.spec.n)"}
"""


def policy(**changes: Any) -> dict[str, Any]:
    spec = {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [{"expression": "object.spec.n < 3", "messageExpression": "'too much'"}],
    }
    return {"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "small"}, "spec": {**spec, **changes}}


def ask(rule: dict[str, Any], n: Any = 1, **fields: Any) -> list[str]:
    return refusals(rule, Request("CREATE", ORDINARY, {**POD, "spec": {"n": n}}, **fields))


def selected(*expressions: dict[str, Any], **labels: str) -> bool:
    selector = {"matchExpressions": list(expressions)}
    constraints = {**policy()["spec"]["matchConstraints"], "namespaceSelector": selector}
    space = {"metadata": {"name": "models", "labels": labels}}
    return matches(policy(matchConstraints=constraints), Request("CREATE", ORDINARY, POD, namespace=space))


def test_what_does_not_hold_is_refused_with_the_message():
    assert ask(policy(), 2) == []
    assert ask(policy(), 3) == ["too much"]


def test_an_expression_without_an_answer_refuses_the_request():
    (said,) = ask(policy(validations=[{"expression": "object.spec.m < 3", "messageExpression": "''"}]))
    assert said.startswith("small: 'object.spec.m < 3' has no answer: NOT_FOUND")
    (said,) = ask(policy(variables=[{"name": "m", "expression": "object.spec.m"}]))
    assert said.startswith("small: 'object.spec.m' has no answer")


def test_a_condition_that_does_not_hold_takes_the_request_out():
    assert ask(policy(matchConditions=[{"name": "never", "expression": "false"}]), 9) == []
    assert ask(policy(matchConditions=[{"name": "ever", "expression": "true"}]), 9) == ["too much"]


def test_a_variable_may_read_those_before_it():
    variables = [{"name": "a", "expression": "object.spec.n"}, {"name": "b", "expression": "variables.a * 2"}]
    validations = [{"expression": "variables.b == 4", "messageExpression": "'b is ' + string(variables.b)"}]
    assert ask(policy(variables=variables, validations=validations), 2) == []
    assert ask(policy(variables=variables, validations=validations), 3) == ["b is 6"]


@pytest.mark.parametrize(
    "expression", ["object.spec.n <", "nobody == 1", "quantity('1Gi') == quantity('1Gi')"]
)
def test_what_is_no_cel_is_said_with_the_rule(expression):
    with pytest.raises(PolicyError, match=r"^small: .* is not CEL: INVALID_ARGUMENT"):
        ask(policy(validations=[{"expression": expression, "messageExpression": "''"}]))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"paramKind": {}}, "spec.paramKind"),
        ({"matchConstraints": {"objectSelector": {}}}, "spec.matchConstraints.objectSelector"),
        (
            {"matchConstraints": {"resourceRules": [{"resourceNames": ["a"]}]}},
            "spec.matchConstraints.resourceRules.resourceNames",
        ),
    ],
)
def test_a_field_that_is_not_evaluated_is_refused_instead_of_overlooked(change, place):
    with pytest.raises(PolicyError, match=f"^small: {place} is not evaluated here"):
        ask(policy(**change))


def test_other_operations_resources_and_subresources_are_not_looked_at():
    assert not matches(policy(), Request("DELETE", ORDINARY, None, POD))
    assert not matches(policy(), Request("CREATE", ORDINARY, POD, subresource="status"))
    assert not matches(policy(), Request("CREATE", ORDINARY, {**POD, "kind": "Service"}))
    assert not matches(policy(), Request("CREATE", ORDINARY, {**POD, "apiVersion": "apps/v1"}))


def test_a_selector_takes_namespaces_by_name_and_label():
    assert selected({"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["models"]})
    assert not selected({"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["models"]})
    assert selected({"key": "team", "operator": "Exists"}, team="a")
    assert not selected({"key": "team", "operator": "DoesNotExist"}, team="a")


def test_a_policy_without_a_binding_that_denies_is_not_in_force():
    binding = {"kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "b"}}
    audit = {**binding, "spec": {"policyName": "small", "validationActions": ["Audit"]}}
    deny = {**binding, "spec": {"policyName": "small", "validationActions": ["Deny"]}}
    assert bound([policy()]) == bound([policy(), audit]) == []
    assert bound([policy(), deny]) == [policy()]


def test_a_request_about_nothing_is_an_error():
    with pytest.raises(ValueError, match="CREATE of nothing; give object"):
        matches(policy(), Request("CREATE", ORDINARY, None))


def test_a_declared_rule_is_named_as_its_folder_and_refused_with_its_line():
    assert load({**tree(), "policies/small/policy.yaml": RULE}).policies["small"].owner == "platform"
    (said,) = problems({**tree(), "policies/big/policy.yaml": RULE})
    assert said == "policies/big/policy.yaml:1: name: 'small' is in folder 'big'; make them equal"
    typo = RULE.replace("validations:", "validation:")
    first, second = problems({**tree(), "policies/small/policy.yaml": typo})
    assert "validations: is missing; add 'validations:'" in first
    assert (
        second
        == "policies/small/policy.yaml:6: validation: 'validation' is not a known field; did you mean 'validations'?"
    )


def test_without_cel_it_is_said_how_to_get_it(monkeypatch):
    from policies import evaluate

    evaluate._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    with pytest.raises(
        PolicyError, match=r"^rules are evaluated with cel-expr-python: .*; run make test once"
    ):
        ask(policy(validations=[{"expression": "1 == 1 || 2 == 3", "messageExpression": "''"}]))
