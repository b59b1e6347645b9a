"""The roles of GitHub's workflows, which they take with GitHub's word and without any key."""

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place
from infra.cloud.registry import repositories
from infra.cloud.roles import role
from infra.cloud.storage import buckets, store_bucket
from infra.declarations.cloud import Ci as Wanted
from infra.declarations.environment import Environment
from infra.iam import ci


class Ci(Component):
    """`plan` for pull requests, `apply` and `promote` for the environment on its branch, `images` for the branch."""

    def __init__(
        self, environment: Environment, place: Place, wanted: Wanted, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("Ci", place, opts)
        cloud, env = place.cloud, place.env
        provider = aws.iam.OpenIdConnectProvider(
            "github", url=f"https://{ci.HOST}", client_id_lists=[ci.AUDIENCE], opts=self.child()
        )
        after = self.child(depends_on=[provider])
        here = ci.trusts_environment(cloud, wanted, env)
        requests = ci.trusts_pull_requests(cloud, wanted)
        data = tuple(bucket.name for bucket in buckets(environment, place) if bucket.key == "data")
        own = ci.looks(cloud, env, wanted, data)
        role(place, ci.role_name(env, "plan"), requests, after, own=own, managed=ci.LOOKS)
        # Beyond the boundary, because it makes roles; it may make none beyond it, and may not change itself.
        changes = ci.manages(cloud, env)
        role(place, ci.role_name(env, "apply"), here, after, own=changes, managed=ci.CHANGES, limited=False)
        pushes = ci.pushes(cloud, repositories(environment, cloud))
        role(place, ci.role_name(env, "images"), ci.trusts_branch(cloud, wanted), after, own=pushes)
        if store_bucket(environment):
            policy = ci.promotes(cloud, env, environment.store)
            role(place, ci.role_name(env, "promote"), here, after, own=policy)
        self.register_outputs({})
