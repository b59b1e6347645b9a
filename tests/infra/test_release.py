"""The lock entry as text: stable, exact, and the same to every YAML reader."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.declarations.document import read_document
from infra.declarations.release import Release, ReleasedVersion, dump_release, release_path
from tests.infra.samples import RELEASES, digest, version


def test_the_fields_come_in_the_order_of_the_design() -> None:
    assert dump_release(RELEASES["header"]).splitlines() == [
        "stable:",
        "  version: 1",
        f"  digest: {digest('a')}",
        '  run: "0123456789abcdef0123456789abcdef"',
        '  code: "0123abc"',
        "  data:",
        f"    iris.csv: {digest('d')}",
        "  evidence:",
        "    accuracy: 0.96",
        "candidate:",
        "  version: 2",
        f"  digest: {digest('b')}",
        '  run: "0123456789abcdef0123456789abcdef"',
        '  code: "0123abc"',
        "  data:",
        f"    iris.csv: {digest('d')}",
        "  evidence:",
        "    accuracy: 0.96",
        "  mode: header",
        "  header:",
        "    name: x-track",
        "    value: next",
    ]


@pytest.mark.parametrize("mode", RELEASES)
def test_what_is_written_is_read_back(mode: str) -> None:
    text = dump_release(RELEASES[mode])
    assert Release.model_validate(read_document("r.yaml", text).value) == RELEASES[mode]


def test_the_order_of_data_and_evidence_does_not_matter() -> None:
    one = version(1, "a").model_copy(update={"evidence": {"b": 1.0, "a": 2.0}})
    two = version(1, "a").model_copy(update={"evidence": {"a": 2.0, "b": 1.0}})
    assert dump_release(Release(stable=one)) == dump_release(Release(stable=two))


RUNS = st.from_regex(r"\A[A-Za-z0-9][-A-Za-z0-9_.]{0,63}\Z")
CODES = st.from_regex(r"\A[0-9a-f]{7,40}\Z")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(run=RUNS, code=CODES, score=NUMBERS)
def test_runs_commits_and_scores_survive_every_reader(run: str, code: str, score: float) -> None:
    fields = {"run": run, "code": code, "evidence": {"score": score}, "data": {"no": digest("d")}}
    release = Release(stable=ReleasedVersion.model_validate({**version(1, "a").model_dump(), **fields}))
    text = dump_release(release)
    assert Release.model_validate(read_document("r.yaml", text).value) == release
    assert yaml.load(text, Loader=yaml.CSafeLoader) == release.model_dump(exclude_none=True)


def test_a_path_is_made_of_model_and_environment() -> None:
    assert release_path("iris", "dev") == "model-servers/iris/releases/dev.yaml"
    assert version(1, "a").short == "aaaaaaaa"
