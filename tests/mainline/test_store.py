"""The store: what goes in is what the digest says, it never changes, and one flipped bit is found."""

import subprocess

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from mainline.errors import Refusal
from mainline.store import Store
from tests.mainline.artifacts import artifact
from tests.v2serve.stores import serving


@pytest.fixture
def store(tmp_path):
    return Store(f"file://{tmp_path / 'store'}")


def test_an_artifact_is_stored_once_and_found_whole(store, tmp_path):
    digest = artifact(tmp_path / "made")
    assert store.put("iris", digest, tmp_path / "made") is True
    assert store.problem("iris", digest) is None
    assert store.put("iris", digest, tmp_path / "made") is False


def test_coreutils_agree_about_what_is_stored(store, tmp_path):
    digest = artifact(tmp_path / "made")
    store.put("iris", digest, tmp_path / "made")
    folder = tmp_path / "store" / "iris" / digest[7:]
    sums = subprocess.run(["sha256sum", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=True)
    assert sums.stdout.split()[0] == digest[7:]
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_an_unknown_digest_is_not_in_the_store(store):
    assert store.problem("iris", f"sha256:{'0' * 64}") == f"sha256:{'0' * 64} is not in the store {store.url}"


def test_a_declared_endpoint_is_asked_instead_of_amazon(store, tmp_path, monkeypatch):
    digest = artifact(tmp_path / "made")
    store.put("iris", digest, tmp_path / "made")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with serving(tmp_path / "store") as bucket:
        remote = Store("s3://models", f"http://127.0.0.1:{bucket.port}")
        assert remote.problem("iris", digest) is None
        assert bucket.bodies("SHA256SUMS")


def test_an_object_is_put_into_s3_with_its_checksum(tmp_path, monkeypatch):
    """S3 takes no other into a bucket with Object Lock."""
    for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    digest = artifact(tmp_path / "made")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client("s3", endpoint_url=endpoint)
        client.create_bucket(Bucket="models")
        assert Store("s3://models", endpoint).put("iris", digest, tmp_path / "made")
        assert Store("s3://models", endpoint).problem("iris", digest) is None
        key = f"iris/{digest[7:]}/model.bin"
        told = client.head_object(Bucket="models", Key=key, ChecksumMode="ENABLED")
    finally:
        server.stop()
    assert told["ChecksumSHA256"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.data())
def test_one_flipped_bit_anywhere_is_found(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("flip")
    digest = artifact(folder / "made", model=b"weights", contract=b"{}")
    store = Store(f"file://{folder / 'store'}")
    store.put("iris", digest, folder / "made")
    files = sorted((folder / "store" / "iris" / digest[7:]).iterdir())
    victim = data.draw(st.sampled_from(files))
    body = bytearray(victim.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    body[bit // 8] ^= 1 << bit % 8
    victim.write_bytes(body)
    assert f"{victim.name} of {digest} was changed" in store.problem("iris", digest)


def test_a_file_that_changed_after_it_was_summed_stops_the_copy_and_leaves_no_release(store, tmp_path):
    digest = artifact(tmp_path / "made")
    (tmp_path / "made" / "model.bin").write_bytes(b"other weights")
    with pytest.raises(Refusal, match=r"model\.bin is not what SHA256SUMS says"):
        store.put("iris", digest, tmp_path / "made")
    assert "is not in the store" in store.problem("iris", digest)


def test_sums_that_are_not_what_the_registry_names_are_refused(store, tmp_path):
    artifact(tmp_path / "made")
    with pytest.raises(Refusal, match=r"the registry names sha256:0000.*train again"):
        store.put("iris", f"sha256:{'0' * 64}", tmp_path / "made")


def test_a_copy_that_was_cut_off_is_completed_by_repeating_it(store, tmp_path):
    digest = artifact(tmp_path / "made")
    store.put("iris", digest, tmp_path / "made")
    folder = tmp_path / "store" / "iris" / digest[7:]
    (folder / "SHA256SUMS").unlink()
    (folder / "model.bin").write_bytes(b"half")
    assert store.put("iris", digest, tmp_path / "made") is True
    assert store.problem("iris", digest) is None


def test_an_artifact_that_is_gone_says_so(store, tmp_path):
    with pytest.raises(Refusal, match=r"cannot be read: No such file or directory; train again"):
        store.put("iris", f"sha256:{'0' * 64}", tmp_path / "none")


def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    digest = artifact(tmp_path / "made")
    with pytest.raises(Refusal, match=r"^the store file://.* cannot be used: "):
        Store(f"file://{blocked}/store").put("iris", digest, tmp_path / "made")
