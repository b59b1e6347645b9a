"""Normal form: what Go's types would change, and what nobody may write into Git."""

from typing import Any

import pytest

from infra.manifests.manifest import manifest
from infra.manifests.normal import problems
from infra.render import applications
from tests.infra.samples import RELEASES, repository

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a null": ({"a": None}, "spec.a: None is dropped by Go's types; leave the field out"),
    "an empty text": ({"a": ""}, "spec.a: '' is dropped"),
    "an empty list": ({"a": []}, "spec.a: [] is dropped"),
    "an empty mapping": ({"a": {}}, "spec.a: {} is dropped"),
    "a zero": ({"a": 0}, "spec.a: 0 is dropped"),
    "a false": ({"a": False}, "spec.a: False is dropped"),
    "a null in a list": ({"a": [None]}, "spec.a[0]: None crashes the provider; leave the item out"),
    "something deep": ({"a": [{"b": {"c": None}}]}, "spec.a[0].b.c: None is dropped"),
    "a quantity of another form": (
        {"requests": {"memory": "1024Mi"}},
        "spec.requests.memory: '1024Mi' is written back as '1Gi'; write that",
    ),
    "no quantity": ({"limits": {"memory": "much"}}, "spec.limits.memory: 'much' is not a quantity"),
    "a float": ({"a": 0.5}, "spec.a: 0.5 is a float; write an integer or a quantity in quotes"),
    "a huge number": ({"a": 2**53}, "spec.a: 9007199254740992 is above 2^53 and loses precision; write text"),
    "a tuple": ({"a": (1,)}, "spec.a: (1,) is a tuple; write text"),
    "a control character": ({"a": "x\x07"}, "spec.a: 'x\\x07' holds control characters"),
    "a line separator": ({"a": "x\u2028"}, "holds control characters or line separators"),
    "a long key": ({"k" * 129: "v"}, "is no key; write text of 1 to 128 characters on one line"),
    "a key that is a number": ({1: "v"}, "spec[1]: 1 is no key"),
    "a password": (
        {"password": "hunter2"},
        "spec.password: 'password' is the name of a secret, and this file is public",
    ),
    "a token": ({"registryToken": "abc"}, "spec.registryToken: 'registryToken' is the name of a secret"),
    "a secret variable": (
        {"env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "abc"}]},
        "spec.env[0].value: 'AWS_SECRET_ACCESS_KEY' is the name of a secret",
    ),
    "a private key": (
        {"data": "-----BEGIN EC PRIVATE KEY-----\nx"},
        "spec.data: looks like a credential, and this file is public; reference an ExternalSecret",
    ),
    "an address with a password": ({"url": "https://me:pw@example.com"}, "spec.url: looks like a credential"),
}
KEPT: dict[str, dict[str, Any]] = {
    "replicas of 0": {"replicas": 0},
    "a weight of 0": {"weight": 0},
    "a token that is not mounted": {"automountServiceAccountToken": False},
    "a selector of everything": {"podSelector": {}},
    "a plain volume": {"emptyDir": {}},
    "the core group": {"group": "", "apiGroups": [""]},
    "a rule without limits": {"ingress": [{}]},
    "the name of a secret": {"secretName": "tls", "certificateRefs": [{"name": "token"}]},
}


def _config(spec: dict[str, Any]) -> dict[str, Any]:
    return manifest("example.com/v1/Thing", "x", "models", spec=spec)


@pytest.mark.parametrize(("spec", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_go_would_change_is_refused_by_name(spec: dict[str, Any], reason: str) -> None:
    found = problems(_config(spec))
    assert any(line.startswith("example.com/v1/Thing/models/x: ") and reason in line for line in found), found


@pytest.mark.parametrize("spec", KEPT.values(), ids=KEPT)
def test_what_go_keeps_is_accepted(spec: dict[str, Any]) -> None:
    assert problems(_config(spec)) == []


def test_a_secret_is_refused_whatever_it_holds() -> None:
    found = problems(manifest("v1/Secret", "x", "models"))
    assert found == [
        "v1/Secret/models/x: kind: 'Secret' would be plain text in Git; reference an ExternalSecret"
    ]


@pytest.mark.parametrize("mode", RELEASES)
def test_everything_that_is_rendered_is_in_normal_form(mode: str) -> None:
    objects = [item for items in applications(repository(mode), "dev").values() for item in items]
    assert [line for item in objects for line in problems(item)] == []
