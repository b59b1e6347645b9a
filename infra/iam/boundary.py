"""The limit of every role of an environment: what no policy, however wrong, can give to a pod or a workflow."""

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam.document import ALL, Document, allow, deny, document

_HIDES = (  # what somebody would do first who does not want to be seen
    "cloudtrail:DeleteTrail",
    "cloudtrail:StopLogging",
    "cloudtrail:UpdateTrail",
    "config:DeleteConfigurationRecorder",
    "config:StopConfigurationRecorder",
    "guardduty:DeleteDetector",
)
_LOSES = (  # what cannot be undone
    "backup:DeleteBackupVault",
    "backup:DeleteRecoveryPoint",
    "kms:DisableKey",
    "kms:ScheduleKeyDeletion",
    "s3:BypassGovernanceRetention",
    "s3:PutBucketObjectLockConfiguration",
)
_PROFILES = (
    "iam:AddRoleToInstanceProfile",
    "iam:CreateInstanceProfile",
    "iam:DeleteInstanceProfile",
    "iam:GetInstanceProfile",
    "iam:RemoveRoleFromInstanceProfile",
    "iam:TagInstanceProfile",
)


def boundary(cloud: Cloud, env: str) -> Document:
    """Everything but identities and accounts, here and nowhere else, and nothing that hides or loses."""
    roles = f"arn:{naming.PARTITION}:iam::{cloud.account}:role{naming.role_path(env)}*"
    linked = f"arn:{naming.PARTITION}:iam::{cloud.account}:role/aws-service-role/*"
    profiles = f"arn:{naming.PARTITION}:iam::{cloud.account}:instance-profile/*"
    rest = {
        "Sid": "AllButIdentities",
        "Effect": "Allow",
        "NotAction": ["account:*", "iam:*", "organizations:*"],
        "Resource": ["*"],
    }
    return document(
        rest,
        allow("PassOwnRoles", ("iam:PassRole",), (roles,)),
        allow("Link", ("iam:CreateServiceLinkedRole",), (linked,)),
        allow("Profiles", _PROFILES, (profiles,)),
        deny("HidesNothing", _HIDES, ALL),
        deny("LosesNothing", _LOSES, ALL),
    )
