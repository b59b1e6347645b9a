"""Places for secrets in Secrets Manager: names, key and access; the values are put there by people."""

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.declarations import naming

_TO_THINK_AGAIN = 30  # days in which a deleted secret comes back


class Secrets(Component):
    """No value is here, so none is in Git or in Pulumi's state; External Secrets carries them into the cluster."""

    def __init__(self, place: Place, key: pulumi.Input[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("Secrets", place, opts)
        for name in place.cloud.secrets:
            aws.secretsmanager.Secret(
                name,
                name=naming.secret(place.env, name),
                kms_key_id=key,
                recovery_window_in_days=_TO_THINK_AGAIN,
                opts=self.kept(),
            )
        self.register_outputs({})
