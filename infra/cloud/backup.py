"""Copies of the database and of the buckets in a vault, each night; docs/runbooks/restore.md puts them back."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.roles import role
from infra.declarations import naming
from infra.iam.document import trusts_service

_NIGHT = "cron(0 2 * * ? *)"  # UTC, after RDS' own window
_START_WITHIN, _END_WITHIN = 60, 480  # minutes
_CONFLICT = 3  # days in which the lock of a vault can still be taken away
_POLICIES = (
    "service-role/AWSBackupServiceRolePolicyForBackup",
    "service-role/AWSBackupServiceRolePolicyForRestores",
    "AWSBackupServiceRolePolicyForS3Backup",
    "AWSBackupServiceRolePolicyForS3Restore",
)


class Backup(Component):
    """`what`: ARNs of what is copied. Point-in-time recovery of the last month, for buckets and the database alike."""

    def __init__(
        self,
        place: Place,
        key: pulumi.Input[str],
        what: Sequence[pulumi.Input[str]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("Backup", place, opts)
        wanted, name = place.cloud.backup, naming.base(place.env)
        vault = aws.backup.Vault("vault", name=name, kms_key_arn=key, force_destroy=False, opts=self.kept())
        if wanted.lock:
            self._locked(vault)
        plan = self._plan(name, vault)
        own = role(
            place,
            naming.role(place.env, "backup"),
            trusts_service(
                "backup.amazonaws.com", {"StringEquals": {"aws:SourceAccount": place.cloud.account}}
            ),
            self.child(),
            managed=_POLICIES,
        )
        aws.backup.Selection(
            "everything",
            name=name,
            plan_id=plan.id,
            iam_role_arn=own.arn,
            resources=list(what),
            opts=self.child(),
        )
        self.register_outputs({"vault": vault.arn})

    def _locked(self, vault: aws.backup.Vault) -> None:
        aws.backup.VaultLockConfiguration(
            "vault",
            backup_vault_name=vault.name,
            min_retention_days=self.place.cloud.backup.days,
            changeable_for_days=_CONFLICT,
            opts=self.child(),
        )

    def _plan(self, name: str, vault: aws.backup.Vault) -> aws.backup.Plan:
        rule: aws.backup.PlanRuleArgsDict = {
            "rule_name": "nightly",
            "target_vault_name": vault.name,
            "schedule": _NIGHT,
            "start_window": _START_WITHIN,
            "completion_window": _END_WITHIN,
            "lifecycle": {"delete_after": self.place.cloud.backup.days},
        }
        return aws.backup.Plan("nightly", name=name, rules=[rule], opts=self.child())
