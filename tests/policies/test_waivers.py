"""A waiver has an owner, a reason and a last day; it holds for its objects alone, here and in the cluster."""

from datetime import date

import pytest

from infra.declarations.document import read_document
from infra.declarations.repository import load
from infra.render import applications
from policies.evaluate import bound, refusals
from policies.request import JOB_CONTROLLER, ORDINARY, Request
from policies.waivers import refused, subject, waived
from tests.infra.samples import edited, problems, tree
from tests.policies.rules import OWN

WAIVER = """\
waivers:
- rule: known-images
  object: Pod/training/iris-*
  owner: flowers
  reason: The image of the new trainer is reviewed next week.
  until: 2027-01-31
"""
PATH = "policies/waivers.yaml"
DOCUMENT = read_document(PATH, WAIVER)


def _declared(text=WAIVER):
    return load({**tree(), **OWN, PATH: text})


def _pod(name, **metadata):
    meta = {"namespace": "training", **({"name": name} if name else {}), **metadata}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"containers": [{"name": "a", "image": "nginx:1"}]},
    }


def _known_images(text=WAIVER):
    rendered = bound(applications(_declared(text), "dev")["platform"])
    return next(one for one in rendered if one["metadata"]["name"].startswith("known-images"))


def test_it_holds_up_to_and_with_its_last_day():
    waivers = _declared().waivers
    assert list(refused(DOCUMENT, waivers, {"known-images"}, date(2027, 1, 31))) == []
    (said,) = refused(DOCUMENT, waivers, {"known-images"}, date(2027, 2, 1))
    assert said == (
        "policies/waivers.yaml:6: waivers[0].until: 2027-01-31 is over on 2027-02-01, for known-images of "
        "Pod/training/iris-*; flowers mends Pod/training/iris-* and removes it, or gives a new day and reason"
    )


def test_a_rule_that_nobody_has_cannot_be_waived():
    (said,) = refused(DOCUMENT, _declared().waivers, {"known-image", "only-git"}, date(2027, 1, 1))
    assert said.endswith("waivers[0].rule: 'known-images' is not a known rule; did you mean 'known-image'?")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("  owner: flowers\n", "", "policies/waivers.yaml:2: waivers[0].owner: is missing; add 'owner:'"),
        ("  until: 2027-01-31\n", "", "waivers[0].until: is missing; add 'until:'"),
        (
            "2027-01-31",
            "soon",
            "policies/waivers.yaml:6: waivers[0].until: 'soon' is not a day; write it like 2027",
        ),
        ("2027-01-31", "2027-02-30", "waivers[0].until: '2027-02-30' is not a day"),
        ("2027-01-31", "20270131", "waivers[0].until: 20270131 does not fit"),
        (
            "The image of the new trainer is reviewed next week.",
            "' '",
            "waivers[0].reason: ' ' is not one line",
        ),
        (
            "Pod/training/iris-*",
            "'*'",
            "waivers[0].object: '*' is not an object; write 'Kind/namespace/name'",
        ),
        ("Pod/training/iris-*", "\"Pod/a/b' || true || '\"", "is not an object"),
        ("owner: flowers", "ownr: flowers", "'ownr' is not a known field; did you mean 'owner'?"),
        ("waivers:", "waiver:", "'waiver' is not a known field; did you mean 'waivers'?"),
    ],
)
def test_a_waiver_that_says_too_little_is_refused(old, new, reason):
    found = problems({**tree(), PATH: edited(WAIVER, old, new)})
    assert any(reason in line for line in found), found


def test_the_api_server_hears_of_it_and_lets_its_objects_pass_alone():
    rule = _known_images()
    assert refusals(rule, Request("CREATE", ORDINARY, _pod("iris-1"))) == []
    assert refusals(rule, Request("CREATE", ORDINARY, _pod("other-1"))) != []
    assert refusals(rule, Request("CREATE", ORDINARY, _pod("iris-1", namespace="models"))) != []
    assert refusals(rule, Request("CREATE", JOB_CONTROLLER, _pod("", generateName="iris-0-"))) == []


def test_exact_names_and_beginnings_stand_side_by_side():
    text = WAIVER + WAIVER.removeprefix("waivers:\n").replace("Pod/training/iris-*", "Pod/models/a")
    rule = _known_images(text)
    for name, space, passes in (("a", "models", True), ("ab", "models", False), ("iris-2", "training", True)):
        assert (refusals(rule, Request("CREATE", ORDINARY, _pod(name, namespace=space))) == []) is passes


def test_other_rules_do_not_change():
    plain = bound(applications(load({**tree(), **OWN}), "dev")["platform"])
    with_it = bound(applications(_declared(), "dev")["platform"])
    changed = [new["metadata"]["name"] for old, new in zip(plain, with_it, strict=True) if old != new]
    assert changed == ["known-images.mainline.dev"]


def test_an_object_is_called_by_kind_namespace_and_name():
    assert subject({"kind": "Job", "metadata": {"name": "a", "namespace": "training"}}) == "Job/training/a"
    assert subject({"kind": "Namespace", "metadata": {"name": "a"}}) == "Namespace//a"
    waivers = _declared().waivers
    assert waived(waivers, "known-images", "Pod/training/iris-1")
    assert not waived(waivers, "only-git", "Pod/training/iris-1")


def test_a_resource_of_the_cloud_can_have_one():
    text = edited(WAIVER, "Pod/training/iris-*", "aws:s3/bucket:Bucket/logs")
    assert waived(_declared(text).waivers, "known-images", "aws:s3/bucket:Bucket/logs")
