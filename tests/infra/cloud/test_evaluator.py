"""The judge of the other tests decides as IAM's documentation says."""

import pytest

from infra.iam.document import allow, deny, document
from tests.infra.cloud.evaluator import allowed

READ = allow("Read", ("s3:Get*",), ("arn:aws:s3:::b/models/*",))
BUCKET = "arn:aws:s3:::b/models/x"


def test_nothing_is_allowed_that_no_statement_allows() -> None:
    assert not allowed([document()], "s3:GetObject", BUCKET)
    assert not allowed([document(READ)], "s3:PutObject", BUCKET)
    assert not allowed([document(READ)], "s3:GetObject", "arn:aws:s3:::b/other/x")


def test_actions_match_in_any_case_and_resources_do_not() -> None:
    assert allowed([document(READ)], "S3:getobject", BUCKET)
    assert not allowed([document(READ)], "s3:GetObject", "arn:aws:s3:::B/models/x")


def test_a_deny_wins() -> None:
    no = deny("No", ("s3:*",), ("*",))
    assert not allowed([document(READ), document(no)], "s3:GetObject", BUCKET)


def test_everything_but_does_not_say_yes_to_the_exception() -> None:
    rest = document({"Sid": "Rest", "Effect": "Allow", "NotAction": ["iam:*"], "Resource": ["*"]})
    assert allowed([rest], "s3:GetObject", BUCKET)
    assert not allowed([rest], "iam:CreateUser", "*")


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringEquals": {"k": "v"}}, {"k": "v"}, True),
        ({"StringEquals": {"k": "v"}}, {}, False),
        ({"StringEquals": {"k": ["v", "w"]}}, {"k": "w"}, True),
        ({"StringLike": {"k": "a*"}}, {"k": "abc"}, True),
        ({"StringEqualsIfExists": {"k": "v"}}, {}, True),
        ({"StringEqualsIfExists": {"k": "v"}}, {"k": "w"}, False),
        ({"StringNotEqualsIfExists": {"k": "v"}}, {"k": "v"}, False),
        ({"StringNotEqualsIfExists": {"k": "v"}}, {"k": "w"}, True),
        ({"Null": {"k": "false"}}, {}, False),
        ({"Null": {"k": "true"}}, {}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a"]}, True),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {"k": ["a", "c"]}, False),
        ({"ForAllValues:StringEquals": {"k": ["a", "b"]}}, {}, True),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, {}, False),
        ({"ForAnyValue:StringEquals": {"k": "a"}}, {"k": ["b", "a"]}, True),
        ({"Bool": {"k": "false"}}, {"k": False}, True),
        ({"NumericLessThan": {"k": "1.2"}}, {"k": "1.1"}, True),
        ({"NumericLessThan": {"k": "1.2"}}, {"k": "1.3"}, False),
    ],
)
def test_conditions(
    condition: dict[str, dict[str, object]], context: dict[str, object], expected: bool
) -> None:
    one = allow("One", ("s3:GetObject",), ("*",), condition)
    assert allowed([document(one)], "s3:GetObject", BUCKET, context) is expected


def test_an_operator_that_it_does_not_know_is_no_permission() -> None:
    one = allow("One", ("s3:GetObject",), ("*",), {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    with pytest.raises(KeyError, match="IpAddress"):
        allowed([document(one)], "s3:GetObject", BUCKET, {"aws:SourceIp": "10.1.1.1"})
