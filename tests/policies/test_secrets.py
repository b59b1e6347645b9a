"""Planted credentials are found wherever a manifest can hold them; nothing that is rendered looks like one."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mainline.check import rendered_objects
from mainline.places import Places
from policies.tree.formats import entropy, formats
from policies.tree.secrets import leaks, looks_secret
from tests.infra.samples import RELEASES
from tests.policies.planted import planted
from tests.policies.rules import ROOT, folders
from tests.repository.tracked import tracked

KINDS = sorted(planted())
TEXT = (".yaml", ".yml", ".py", ".md", ".toml", ".json", ".lock", ".cfg", ".txt")


def _holding(text):
    """Three objects that hold a text in three places."""
    variable = {"name": "SETTING", "value": text}
    pod = {"containers": [{"name": "a", "env": [variable], "args": ["--quiet"]}]}
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "b"},
            "data": {"settings.ini": f"a = 1\nb = {text}\n"},
        },
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "annotations": {"note": text}}},
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_planted_credential_is_found_in_every_place(kind, seed):
    objects = _holding(planted(seed)[kind])
    assert [one.object["metadata"]["name"] for one in leaks(objects)] == ["a", "b", "c"]


def test_there_are_more_than_twenty_kinds():
    assert len(KINDS) >= 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_does_not_repeat_the_credential(kind):
    text = planted()[kind]
    for one in leaks(_holding(text)):
        assert text[5:] not in one.message
        assert "looks like" in one.message


@pytest.mark.parametrize("env", ["dev", "local", "prod", "staging"])
def test_nothing_in_the_committed_trees_looks_like_one(env):
    assert [one.message for one in leaks(rendered_objects(Places(ROOT), env))] == []


@pytest.mark.parametrize("mode", RELEASES)
def test_nothing_that_a_rollout_renders_looks_like_one(mode):
    objects = [item for folder in folders(mode).values() for item in folder]
    assert [one.message for one in leaks(objects)] == []


def test_no_file_of_this_repository_holds_a_known_format():
    found = [
        (path, what, value[:8])
        for path in tracked()
        if path.endswith(TEXT)
        for what, value in formats((ROOT / path).read_text(errors="replace"))
        if (path, what) not in EXAMPLES
    ]
    assert found == []


# Addresses, headers and first lines of keys that tests and documents show as wrong ones.
EXAMPLES = {
    (path, what)
    for path in tracked()
    if path.startswith(("tests/", "docs/", "policies/tree/no-secret-values/refused/"))
    for what in ("a password in an address", "a private key", "credentials of a header")
}


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "adminPassword", "apiKey", "API_KEY", "token", "client_secret"]
)
def test_a_telling_name_makes_any_text_a_secret(name):
    assert looks_secret(name, "abc") == f"the value of a {name} (3 characters)"


@pytest.mark.parametrize(
    "text", ["", "true", "$(PASSWORD)", "${PASSWORD}", "{{ .password }}", "/var/run/token"]
)
def test_a_telling_name_may_refer_to_a_secret_elsewhere(text):
    assert looks_secret("PASSWORD", text) == ""


@pytest.mark.parametrize("name", ["secretName", "existingSecret", "secretKeyRef", "tokenReview", "keys"])
def test_names_of_secrets_are_no_secrets(name):
    assert looks_secret(name, "mlflow-admin") == ""


@given(st.text(alphabet="ab", min_size=1, max_size=50))
def test_entropy_of_two_letters_is_at_most_one_bit(text):
    assert 0 <= entropy(text) <= 1.0000001


@given(
    st.recursive(
        st.text(max_size=20) | st.integers() | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_objects_of_any_form_are_looked_through(value):
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": value}
    assert len(list(leaks([item, yaml.safe_load(yaml.safe_dump(item))]))) in (0, 2)
