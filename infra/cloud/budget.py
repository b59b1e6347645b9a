"""Money: what an environment and its teams may spend in a month, and who hears about it."""

from collections.abc import Iterator

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.declarations import naming
from infra.declarations.cloud import Budget as Wanted

_Notification = aws.budgets.BudgetNotificationArgsDict
_ALL = 100  # per cent


class Budget(Component):
    """One budget of the whole account, and one of each team by the tag that its resources have."""

    def __init__(self, place: Place, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Budget", place, opts)
        wanted, base = place.cloud.budget, naming.base(place.env)
        self._budget("environment", base, wanted.monthly)
        for team, dollars in sorted(wanted.teams.items()):
            self._budget(f"team-{team}", naming.fitted(f"{base}-{team}", 100), dollars, team)
        self.register_outputs({})

    def _budget(self, name: str, title: str, dollars: int, team: str | None = None) -> None:
        of: list[aws.budgets.BudgetCostFilterArgsDict] = []
        if team:
            of = [{"name": "TagKeyValue", "values": [f"user:team${team}"]}]
        aws.budgets.Budget(
            name,
            name=title,
            account_id=self.place.cloud.account,
            budget_type="COST",
            limit_amount=str(dollars),
            limit_unit="USD",
            time_unit="MONTHLY",
            cost_filters=of or None,
            notifications=list(_alarms(self.place.cloud.budget)),
            opts=self.child(),
        )


def _alarms(wanted: Wanted) -> Iterator[_Notification]:
    """What is spent, step by step; and as soon as the month will not be enough."""
    for percent in wanted.alarms:
        yield _alarm(wanted, "ACTUAL", percent)
    yield _alarm(wanted, "FORECASTED", _ALL)


def _alarm(wanted: Wanted, kind: str, percent: int) -> _Notification:
    return {
        "comparison_operator": "GREATER_THAN",
        "notification_type": kind,
        "threshold": percent,
        "threshold_type": "PERCENTAGE",
        "subscriber_email_addresses": list(wanted.emails),
    }
