"""What Lambda functions may do: read the artifacts of their one model, and write their log."""

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.iam import pods
from infra.iam.document import Document, allow, document, granted, trusts_service


def trusts_lambda(cloud: Cloud) -> Document:
    """Lambda takes the role, for functions of this account."""
    return trusts_service("lambda.amazonaws.com", {"StringEquals": {"aws:SourceAccount": cloud.account}})


def function(cloud: Cloud, env: str, store: str, model: str) -> Document:
    """Exactly the store's prefix of that model, as its pods would have it, and its own log."""
    group = naming.arn(cloud, "logs", f"log-group:{log_group(env, model)}:log-stream:*")
    writing = allow("Log", ("logs:CreateLogStream", "logs:PutLogEvents"), (group,))
    return document(*pods.model(cloud, env, store, model)["Statement"], writing)


def log_group(env: str, model: str) -> str:
    return naming.log_group(env, f"functions/{model}")


def pulls(cloud: Cloud) -> Document:
    """Of a repository of images: Lambda loads them for functions of this account."""
    lambda_ = {"Service": "lambda.amazonaws.com"}
    actions = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
    own = {"ArnLike": {"aws:SourceArn": naming.arn(cloud, "lambda", f"function:{naming.PROJECT}-*")}}
    statement = granted("Lambda", lambda_, actions, (), own)
    del statement["Resource"]  # a repository's policy is about the repository
    return document(statement)


def alarms(cloud: Cloud, topic: str) -> Document:
    """Of the topic of alarms: CloudWatch's alarms of this account publish to it."""
    whose = {"StringEquals": {"aws:SourceAccount": cloud.account}}
    watch = {"Service": "cloudwatch.amazonaws.com"}
    return document(granted("Alarms", watch, ("sns:Publish",), (topic,), whose))
