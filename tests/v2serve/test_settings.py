"""The environment of a server: defaults, and each bad value refused with its variable and the fix."""

import json
from pathlib import Path

import pytest

from v2serve.settings import ModelSettings, SettingsError, read_settings

DIGEST = "sha256:" + "a" * 64
LEAST = {"V2SERVE_MODEL_NAME": "iris", "V2SERVE_MODEL_DIGEST": DIGEST}


def test_name_and_digest_are_enough() -> None:
    settings = read_settings({**LEAST, "PATH": "/bin"})
    assert settings.models == (ModelSettings("iris", DIGEST, None, None, Path("/mnt/models"), None),)
    assert (settings.host, settings.port, settings.threads) == ("0.0.0.0", 8080, None)  # noqa: S104
    assert (settings.max_body_bytes, settings.max_held_bytes) == (4 << 20, 64 << 20)
    assert (settings.concurrency, settings.queue, settings.max_batch) == (1, 128, 1)
    assert (settings.read_seconds, settings.drain_seconds, settings.deadline_seconds) == (30.0, 0.5, 30.0)
    assert (settings.providers, settings.access_log) == (("CPUExecutionProvider",), 0.0)


def test_an_empty_variable_counts_as_unset() -> None:
    settings = read_settings(
        {**LEAST, "V2SERVE_MODEL_VERSION": "", "V2SERVE_PORT": "", "V2SERVE_STORAGE_URI": ""}
    )
    assert (settings.models[0].version, settings.port, settings.models[0].storage_uri) == (None, 8080, None)


@pytest.mark.parametrize("name", ["V2SERVE_MODEL_NAME", "V2SERVE_MODEL_DIGEST"])
def test_a_server_must_be_told_what_git_names(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set; it takes "):
        read_settings({key: value for key, value in LEAST.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("V2SERVE_MODEL_NAME", "my model", "a name such as iris"),
        ("V2SERVE_MODEL_NAME", "../iris", "a name such as iris"),
        ("V2SERVE_MODEL_DIGEST", "latest", "sha256:<64 lowercase hex digits>"),
        ("V2SERVE_MODEL_VERSION", "4/5", "a version such as 4"),
        ("V2SERVE_MODEL_RUN", "a b", "an MLflow run id"),
        ("V2SERVE_HOST", "localhost", "an IP address such as 0.0.0.0"),
        ("V2SERVE_PORT", "0", "a port from 1 to 65535"),
        ("V2SERVE_PORT", "http", "a port from 1 to 65535"),
        ("V2SERVE_PORT", "tcp://10.0.0.1:80", "a port from 1 to 65535"),
        ("V2SERVE_THREADS", "-1", "a number of threads from 1 to 256"),
        ("V2SERVE_MAX_BODY_BYTES", "16MiB", "a number of bytes, at least 1024"),
        ("V2SERVE_READ_SECONDS", "0", "seconds from 0.1 to 600"),
        ("V2SERVE_DRAIN_SECONDS", "nan", "seconds from 0 to 600"),
        ("V2SERVE_DRAIN_SECONDS", "-1", "seconds from 0 to 600"),
        ("V2SERVE_PORT", "9_120", "a port from 1 to 65535"),
        ("V2SERVE_PORT", "\u0661\u0662", "a port from 1 to 65535"),
        ("V2SERVE_READ_SECONDS", "1e1", "seconds from 0.1 to 600"),
        ("V2SERVE_STORAGE_URI", "models", "a URI such as s3://bucket/iris/<64 hex>"),
        ("V2SERVE_QUEUE", "-1", "a number of requests from 0 to 100000"),
        ("V2SERVE_MAX_BATCH", "0", "a number of rows from 1 to 65536"),
        ("V2SERVE_ACCESS_LOG", "1.1", "the share of requests to log, from 0 to 1"),
        ("V2SERVE_ACCESS_LOG", "nan", "the share of requests to log, from 0 to 1"),
        ("V2SERVE_PROVIDERS", "GPU", "names such as CUDAExecutionProvider,CPUExecutionProvider"),
    ],
)
def test_a_bad_value_names_the_variable_the_value_and_what_it_takes(
    name: str, value: str, takes: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings({**LEAST, name: value})
    assert str(refusal.value) == f"{name} is {value!r}; it takes {takes}"


def test_a_misspelt_variable_is_refused_with_the_likely_one() -> None:
    with pytest.raises(SettingsError, match="V2SERVE_THREAD is not a setting; write V2SERVE_THREADS"):
        read_settings({**LEAST, "V2SERVE_THREAD": "2"})


def test_a_word_that_is_like_no_setting_is_to_be_removed() -> None:
    with pytest.raises(SettingsError, match="V2SERVE_ZZZ is not a setting; remove it"):
        read_settings({**LEAST, "V2SERVE_ZZZ": "1"})


def test_several_models_are_listed_as_json() -> None:
    listed = [
        {"name": "iris", "digest": DIGEST, "dir": "/mnt/iris", "version": 4},
        {
            "name": "wine",
            "digest": DIGEST,
            "dir": "/mnt/wine",
            "storage_uri": "file:///srv/wine",
            "run": "r1",
        },
    ]
    settings = read_settings({"V2SERVE_MODELS": json.dumps(listed)})
    assert settings.models == (
        ModelSettings("iris", DIGEST, "4", None, Path("/mnt/iris"), None),
        ModelSettings("wine", DIGEST, None, "r1", Path("/mnt/wine"), "file:///srv/wine"),
    )


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("iris", "V2SERVE_MODELS is 'iris'; it takes a JSON list such as "),
        ("[]", "V2SERVE_MODELS is '[]'; it takes a JSON list such as "),
        ("[1]", "V2SERVE_MODELS[0] is 1; it takes an object with name, digest and dir"),
        ('[{"nam": "iris"}]', "V2SERVE_MODELS[0].nam is not a field; they are name, digest, version"),
        ('[{"name": "iris"}]', "V2SERVE_MODELS[0].digest is not set; it takes sha256:<64"),
        ("[" * 100_000, "V2SERVE_MODELS is "),
        ('[{"name": 5}]', "V2SERVE_MODELS[0].name is ''; it takes a name such as iris"),
        ('[{"name": "a b"}]', "V2SERVE_MODELS[0].name is 'a b'; it takes a name such as iris"),
    ],
)
def test_a_bad_list_of_models_names_the_entry_and_the_field(listed: str, message: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read_settings({"V2SERVE_MODELS": listed})
    assert str(refusal.value).startswith(message)


def test_one_model_and_several_are_not_named_at_once() -> None:
    listed = json.dumps([{"name": "iris", "digest": DIGEST, "dir": "/mnt/iris"}])
    with pytest.raises(SettingsError, match="V2SERVE_MODEL_NAME and V2SERVE_MODELS are both set"):
        read_settings({**LEAST, "V2SERVE_MODELS": listed})
