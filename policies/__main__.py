"""The policy pack: `pulumi preview --policy-pack policies` asks the rules of policies/cloud about every resource."""

import os
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

from infra.declarations.cloud import MANDATORY_TAGS
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.declarations.waiver import Waiver
from policies.cloud.registered import resource
from policies.cloud.resource import Facts, Resource, Rule
from policies.cloud.rules import RULES
from policies.waivers import waived


def policy(rule: Rule, facts: Facts, waivers: list[Waiver]) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        resources = [_resource(one) for one in args.resources]
        for found in rule.judge(resources, facts):
            if not waived(waivers, rule.name, found.resource.subject):
                report(f"{found.resource.name}: {found.message}", found.resource.urn)

    return StackValidationPolicy(rule.name, rule.description, validate, EnforcementLevel.MANDATORY)


def _resource(one: PolicyResource) -> Resource:
    refers = {
        name: frozenset(other.urn for other in others) for name, others in one.property_dependencies.items()
    }
    provider: Mapping[str, Any] = one.provider.props if one.provider else {}
    return resource(one.resource_type, one.name, one.props, one.urn, refers, provider)


def main() -> None:
    try:
        declared = load(read_tree(Path(__file__).resolve().parents[1]))
    except DeclarationError as error:
        sys.exit(str(error))
    environment = declared.environments.get(os.environ.get("PULUMI_STACK", ""))
    cloud = environment.cloud if environment else None
    facts = Facts(cloud is None or cloud.protect, MANDATORY_TAGS)
    # What `mainline check` refuses to commit is not honoured here either.
    lasting = [one for one in declared.waivers if one.until >= date.today()]
    PolicyPack("mainline", [policy(rule, facts, lasting) for rule in RULES], EnforcementLevel.MANDATORY)


if __name__ == "__main__":
    main()
