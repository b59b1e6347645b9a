"""v2serve departs from no rule, and offers everything that a rule lets a server leave out."""

import pytest

from tests.conformance import suite
from tests.conformance.probe import Probe
from tests.conformance.rule import Rule, Verdict, judge

# Rules of servers without versions, and of what this model does not have.
NOT_APPLICABLE = {
    "version.none": "versions are served",
    "binary.fp16": "the model has no FP16",
}


@pytest.mark.parametrize("rule", suite.RULES, ids=lambda rule: rule.id)
def test_v2serve_conforms(rule: Rule, probe: Probe) -> None:
    found = judge(rule, probe)
    if found.verdict is Verdict.NOT_APPLICABLE:
        assert NOT_APPLICABLE.get(rule.id, "accepted") in found.seen
    else:
        assert found.verdict is Verdict.CONFORMS, found.seen


@pytest.mark.parametrize("rule", [*suite.chosen("binary"), *suite.chosen("grpc")], ids=lambda rule: rule.id)
def test_v2serve_conforms_where_json_cannot_carry_the_values(rule: Rule, half_probe: Probe) -> None:
    found = judge(rule, half_probe)
    assert found.verdict in (Verdict.CONFORMS, Verdict.NOT_APPLICABLE), found.seen


def test_the_rule_of_fp16_applies_to_a_model_that_has_it(half_probe: Probe) -> None:
    [rule] = suite.chosen("binary.fp16")
    assert judge(rule, half_probe).verdict is Verdict.CONFORMS
