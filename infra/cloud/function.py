"""Models behind Lambda: a function each, its alias with the shares of a canary, one HTTP API, and alarms."""

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from infra.cloud.component import Component, Place, text
from infra.cloud.roles import role
from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError, problem
from infra.declarations.model import ServedModel, by_function
from infra.declarations.release import Release, release_path
from infra.declarations.repository import Repository
from infra.iam import functions
from infra.manifests import function as plan

_LOG_DAYS = 30
_BURST, _RATE = 200, 100  # requests of all models together, beyond which API Gateway answers 429
_MINUTES = 5  # that an alarm looks back, one by one


def served(repository: Repository, environment: Environment) -> dict[str, tuple[ServedModel, Release]]:
    """What runs as a function in an environment, by the model's name."""
    return {
        name: (model, repository.releases[name, environment.name])
        for name, model in sorted(repository.models.items())
        if by_function(model, environment) and (name, environment.name) in repository.releases
    }


def published(
    repository: Repository, environment: Environment, provider: pulumi.ProviderResource
) -> dict[str, str]:
    """By model, the number under which what serves was published before its candidate came, as Lambda gave it.

    Asked before anything is made; raises DeclarationError where it never was.
    """
    on_trial = {
        name: release for name, (_, release) in served(repository, environment).items() if release.candidate
    }
    return {name: _number(environment.name, name, release, provider) for name, release in on_trial.items()}


def _number(env: str, model: str, release: Release, provider: pulumi.ProviderResource) -> str:
    name, wanted, short = plan.name(env, model), plan.pin(release.stable), release.stable.short
    try:
        found = aws.lambda_.get_alias(
            function_name=name, name=wanted, opts=pulumi.InvokeOptions(provider=provider)
        )
    except Exception as error:  # the engine says no more than that the question failed
        fix = "merge it as stable without a candidate first, and run `pulumi up`"
        text = f"{short} was never published as alias {wanted!r} of function {name!r} ({error}); {fix}"
        raise DeclarationError([problem(release_path(model, env), 1, ("candidate",), text)]) from None
    return found.function_version


class Functions(Component):
    """Nothing where no model wants it. `before`: what `published` found; `logs`, `data`: ARNs of keys."""

    def __init__(
        self,
        repository: Repository,
        environment: Environment,
        place: Place,
        before: Mapping[str, str],
        logs: pulumi.Output[str],
        data: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("Functions", place, opts)
        self.environment, self.before, self.logs = environment, before, logs
        models = served(repository, environment)
        if models:
            self._image()
            self.topic = self._topic(data)
            self.api = self._api()
        for model, release in models.values():
            self._model(model, release)
        self.register_outputs({})

    def _image(self) -> None:
        """Without it Lambda would ask whoever makes the function for the permission to change the registry."""
        name = naming.repository(self.place.cloud, self.environment.images.v2serve)
        policy = text(functions.pulls(self.place.cloud))
        aws.ecr.RepositoryPolicy("lambda", repository=str(name), policy=policy, opts=self.child())

    def _topic(self, key: pulumi.Output[str]) -> pulumi.Output[str]:
        cloud, name = self.place.cloud, f"{naming.base(self.place.env)}-alarms"
        topic = aws.sns.Topic("alarms", name=name, kms_master_key_id=key, opts=self.child())
        policy = text(functions.alarms(cloud, naming.arn(cloud, "sns", name)))
        aws.sns.TopicPolicy("alarms", arn=topic.arn, policy=policy, opts=self.child())
        for email in cloud.budget.emails:
            aws.sns.TopicSubscription(
                email, topic=topic.arn, protocol="email", endpoint=email, opts=self.child()
            )
        return topic.arn

    def _api(self) -> aws.apigatewayv2.Api:
        """Called by who may: requests are signed, as AWS' own are."""
        name = f"{naming.base(self.place.env)}-models"
        api = aws.apigatewayv2.Api("models", name=name, protocol_type="HTTP", opts=self.child())
        log = self._log_group("functions/api", naming.log_group(self.place.env, "functions"))
        aws.apigatewayv2.Stage(
            "models",
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            access_log_settings={"destination_arn": log.arn, "format": _access_log()},
            default_route_settings={"throttling_burst_limit": _BURST, "throttling_rate_limit": _RATE},
            opts=self.child(),
        )
        return api

    def _log_group(self, short: str, name: str) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            short, name=name, kms_key_id=self.logs, retention_in_days=_LOG_DAYS, opts=self.child()
        )

    def _model(self, model: ServedModel, release: Release) -> None:
        function = self._function(model, release)
        live = self._live(model, release, function)
        self._routed(model, live)
        for kind, alarm in _alarms(model).items():
            self._alarm(model, kind, alarm)

    def _function(self, model: ServedModel, release: Release) -> aws.lambda_.Function:
        cloud, env, name = self.place.cloud, self.place.env, plan.name(self.place.env, model.name)
        policy = functions.function(cloud, env, self.environment.store, model.name)
        tags = {"team": model.owner}
        trust = functions.trusts_lambda(cloud)
        own = role(self.place, naming.model_role(env, model.name), trust, self.child(), own=policy, tags=tags)
        log = self._log_group(f"functions/{model.name}", functions.log_group(env, model.name))
        told = plan.variables(model, self.environment, plan.newest(release))
        return aws.lambda_.Function(
            model.name,
            name=name,
            description=model.description,
            role=own.arn,
            package_type="Image",
            image_uri=self.environment.images.v2serve,
            image_config={"entry_points": list(plan.COMMAND), "commands": list(plan.VERB)},
            architectures=["x86_64"],
            memory_size=model.function.memory,
            timeout=plan.TIMEOUT,
            reserved_concurrent_executions=model.function.ceiling,
            environment={"variables": told},
            logging_config={"log_format": "Text", "log_group": log.name},
            publish=True,
            tags=tags,
            opts=self.child(),
        )

    def _live(
        self, model: ServedModel, release: Release, function: aws.lambda_.Function
    ) -> aws.lambda_.Alias:
        """Lambda numbers what is published. An alias of each release keeps its number, which no commit can know."""
        for version in (release.stable, release.candidate):
            if version is not None:
                aws.lambda_.Alias(
                    f"{model.name}/{version.short}",
                    name=plan.pin(version),
                    function_name=function.name,
                    function_version=function.version,
                    opts=self.child(ignore_changes=["functionVersion"]),
                )
        share = plan.share(release)
        stable = self.before.get(model.name, function.version)
        weights = None if share is None else _to(function, share)
        live = aws.lambda_.Alias(
            model.name,
            name=plan.LIVE,
            function_name=function.name,
            function_version=stable,
            routing_config=weights,
            opts=self.child(),
        )
        if model.function.provisioned:
            aws.lambda_.ProvisionedConcurrencyConfig(
                model.name,
                function_name=function.name,
                qualifier=live.name,
                provisioned_concurrent_executions=model.function.provisioned,
                opts=self.child(),
            )
        return live

    def _routed(self, model: ServedModel, live: aws.lambda_.Alias) -> None:
        integration = aws.apigatewayv2.Integration(
            model.name,
            api_id=self.api.id,
            integration_type="AWS_PROXY",
            integration_uri=live.invoke_arn,
            payload_format_version="2.0",
            timeout_milliseconds=plan.TIMEOUT * 1000,
            opts=self.child(),
        )
        for number, key in enumerate(plan.routes(model.name)):
            aws.apigatewayv2.Route(
                f"{model.name}/{number}",
                api_id=self.api.id,
                route_key=key,
                authorization_type="AWS_IAM",
                target=integration.id.apply(lambda made: f"integrations/{made}"),
                opts=self.child(),
            )
        aws.lambda_.Permission(
            model.name,
            action="lambda:InvokeFunction",
            function=live.function_name,
            qualifier=live.name,
            principal="apigateway.amazonaws.com",
            source_arn=self.api.execution_arn.apply(lambda arn: f"{arn}/*/*/v2/models/{model.name}*"),
            opts=self.child(),
        )

    def _alarm(self, model: ServedModel, kind: str, alarm: Mapping[str, Any]) -> None:
        name = plan.name(self.place.env, model.name)
        aws.cloudwatch.MetricAlarm(
            f"{model.name}/{kind}",
            name=f"{name}-{kind}",
            namespace="AWS/Lambda",
            dimensions={"FunctionName": name, "Resource": f"{name}:{plan.LIVE}"},
            comparison_operator="GreaterThanThreshold",
            period=60,
            evaluation_periods=_MINUTES,
            treat_missing_data="notBreaching",
            alarm_actions=[self.topic],
            ok_actions=[self.topic],
            tags={"team": model.owner},
            opts=self.child(),
            **alarm,
        )


def _to(function: aws.lambda_.Function, share: float) -> aws.lambda_.AliasRoutingConfigArgs:
    """The newest version takes so much of the calls, the alias' own takes the others."""

    def weights(version: str) -> Mapping[str, pulumi.Input[float]]:
        return {version: share}

    return aws.lambda_.AliasRoutingConfigArgs(additional_version_weights=function.version.apply(weights))


def _alarms(model: ServedModel) -> dict[str, dict[str, Any]]:
    """Of its objective: calls that fail, calls that find no instance, and answers that take too long."""
    late = model.objective.latency_p95_ms
    return {
        "errors": {
            "metric_name": "Errors",
            "statistic": "Sum",
            "threshold": 0,
            "datapoints_to_alarm": 3,
            "alarm_description": f"Calls of {model.name} end without an answer",
        },
        "throttles": {
            "metric_name": "Throttles",
            "statistic": "Sum",
            "threshold": 0,
            "datapoints_to_alarm": 3,
            "alarm_description": f"All {model.function.ceiling} instances of {model.name} are busy",
        },
        "latency": {
            "metric_name": "Duration",
            "extended_statistic": "p95",
            "threshold": late,
            "datapoints_to_alarm": _MINUTES,
            "alarm_description": f"95 per cent of the answers of {model.name} take more than {late:g} ms",
        },
    }


def _access_log() -> str:
    """A line of JSON for each call, without what was asked."""
    fields = (
        "requestId",
        "routeKey",
        "status",
        "responseLatency",
        "integrationErrorMessage",
        "identity.caller",
    )
    return json.dumps({field.rpartition(".")[2]: f"$context.{field}" for field in fields})
