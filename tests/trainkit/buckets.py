"""A bucket of a server on this machine that speaks S3, which the environment names as an operator would."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import boto3
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    for name, value in {
        "MLFLOW_S3_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MAINLINE_MLFLOW_ARTIFACTS": "s3://models/mlflow",
    }.items():
        monkeypatch.setenv(name, value)
    # Servers of one process share what they hold.
    with urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")):
        boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket="models")
    yield "models"
    server.stop()
