"""The environment of a server: defaults, and each bad value refused with its variable and the fix."""

from pathlib import Path

import pytest

from v2serve.settings import SettingsError, read_settings

DIGEST = "sha256:" + "a" * 64
LEAST = {"V2SERVE_MODEL_NAME": "iris", "V2SERVE_MODEL_DIGEST": DIGEST}


def test_name_and_digest_are_enough() -> None:
    settings = read_settings({**LEAST, "PATH": "/bin"})
    assert (settings.model_name, settings.model_digest, settings.model_version) == ("iris", DIGEST, None)
    assert (settings.host, settings.port, settings.threads) == ("0.0.0.0", 8080, 1)  # noqa: S104
    assert (settings.model_dir, settings.max_body_bytes) == (Path("/mnt/models"), 4 * 2**20)
    assert (settings.read_seconds, settings.drain_seconds) == (30.0, 0.5)


def test_an_empty_variable_counts_as_unset() -> None:
    settings = read_settings(
        {**LEAST, "V2SERVE_MODEL_VERSION": "", "V2SERVE_PORT": "", "V2SERVE_STORAGE_URI": ""}
    )
    assert (settings.model_version, settings.port, settings.storage_uri) == (None, 8080, None)


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
