"""Models, jobs and releases: what is accepted, and what is refused with its line, value and fix."""

import pytest

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Candidate, Release
from infra.declarations.repository import load
from tests.infra.samples import (
    JOB,
    JOB_PATH,
    MODEL,
    MODEL_PATH,
    RELEASE_PATH,
    RELEASES,
    candidate,
    digest,
    edited,
    only,
    problems,
    tree,
    version,
)

MODELS = {
    "a typo": (
        "owner: flowers",
        "ownr: flowers",
        "2: ownr: 'ownr' is not a known field; did you mean 'owner'?",
    ),
    "a typo inside": (
        "objective: {latency_p95_ms",
        "objective: {latency_p95",
        "objective.latency_p95: 'latency_p95' is not a known field; did you mean 'latency_p95_ms'?",
    ),
    "nothing like a field": (
        "owner: flowers",
        "owner: flowers\nzzz: 1",
        "3: zzz: 'zzz' is not a known field; known: name, owner, description, job, gates,",
    ),
    "no description": (
        "description: Which iris it is.\n",
        "",
        "1: description: is missing; add 'description:'",
    ),
    "an upper-case name": ("name: iris", "name: Iris", "1: name: 'Iris' is not a name; use up to 32 of a-z"),
    "a name of 33 letters": ("name: iris", f"name: {'a' * 33}", "is not a name; use up to 32"),
    "a name that ends with a dash": (
        "owner: flowers",
        "owner: flowers-",
        "2: owner: 'flowers-' is not a name",
    ),
    "a folder of another name": (
        "name: iris",
        "name: rose",
        "1: name: 'rose' is in folder 'iris'; make them equal",
    ),
    "an unknown job": (
        "job: iris",
        "job: irsi",
        "4: job: 'irsi' is not a known training job; did you mean 'iris'?",
    ),
    "a gate without a bar": (
        ", at_least: 0.9",
        "",
        "6: gates[0].metric: 'accuracy' needs one bar; write either",
    ),
    "a gate with two bars": (
        "at_least: 0.9",
        "at_least: 0.9, at_most: 1.0",
        "needs one bar; write either at_least",
    ),
    "a gate twice": (
        "  - {metric: accuracy, at_least: 0.9}",
        "  - {metric: accuracy, at_least: 0.9}\n  - {metric: accuracy, at_most: 1.0}",
        "5: gates: 'accuracy' has two gates; keep one",
    ),
    "a bar that is text": ("at_least: 0.9", "at_least: '0.9'", "gates[0].at_least: '0.9' does not fit"),
    "an infinite bar": ("at_least: 0.9", "at_least: 1e999", "gates[0].at_least: inf does not fit"),
    "a negative tolerance": (
        "at_least: 0.9",
        "at_least: 0.9, tolerance: -1",
        "gates[0].tolerance: -1 does not fit",
    ),
    "an availability of 100 %": (
        "availability: 0.999",
        "availability: 1",
        "objective.availability: 1 does not fit",
    ),
    "a floor above the ceiling": (
        "job: iris",
        "job: iris\nreplicas: {min: 3, max: 2}",
        "5: replicas.min: 3 is above max 2; lower min or raise max",
    ),
    "no replicas": ("job: iris", "job: iris\nreplicas: {min: 0}", "replicas.min: 0 does not fit"),
    "a bad quantity": (
        "job: iris",
        "job: iris\nresources: {memory: 1gb}",
        "5: resources.memory: '1gb' is not a quantity; write it like '250m'",
    ),
    "a quantity without quotes": (
        "job: iris",
        "job: iris\nresources: {cpu: 1}",
        "5: resources.cpu: 1 does not fit; put it in quotes",
    ),
    "memory as CPU": (
        "job: iris",
        "job: iris\nresources: {cpu: 1Gi}",
        "5: resources.cpu: '1Gi' is not an amount of CPU; write cores like '250m' or '2'",
    ),
    "CPU as memory": (
        "job: iris",
        "job: iris\nresources: {memory: 500m}",
        "resources.memory: '500m' is not an amount of memory; write bytes like '512Mi' or '2Gi'",
    ),
    "a scale_at of 0": ("job: iris", "job: iris\nscale_at: 0", "5: scale_at: 0 does not fit"),
    "a target of its own": (
        "job: iris",
        "job: iris\ntarget: fargate",
        "5: target: 'fargate' is not one of them",
    ),
    "a description of two lines": (
        "Which iris it is.",
        '"two\\nlines"',
        "3: description: 'two\\nlines' is not one line of text",
    ),
    "a list instead of a mapping": (
        MODEL,
        "- a\n",
        "1: ['a'] is not a mapping; write the fields name, owner",
    ),
    "an empty file": (MODEL, "", "1: None is not a mapping; write the fields name, owner"),
}
JOBS = {
    "an unknown model": (
        "model: iris",
        "model: irsi",
        "3: model: 'irsi' is not a known model; did you mean 'iris'?",
    ),
    "a digest that is too short": (
        f"sha256: {'a' * 64}",
        "sha256: abc",
        "data[0].sha256: 'abc' is not a sha256",
    ),
    "no source": (
        ", package: sklearn.datasets.data/iris.csv",
        "",
        "5: data[0].name: 'iris.csv' needs one source; write one of package, url and source",
    ),
    "two sources": (
        "package: s",
        "url: 'https://example.com/a', package: s",
        "needs one source; write one of",
    ),
    "an address with a password": (
        "package: sklearn.datasets.data/iris.csv",
        "url: 'https://me:pass@example.com/a'",
        "'https://me:***@example.com/a' is not an address; write 'https://host/path' without a user or password",
    ),
    "a path as name": (
        "name: iris.csv",
        "name: ../iris.csv",
        "data[0].name: '../iris.csv' is not a file name",
    ),
    "a mirror's path that leaves it": (
        "package: s",
        "mirror: data/../../x, package: s",
        "data[0].mirror: 'data/../../x' is not a relative path; write it like 'folder/file.csv'",
    ),
    "an absolute path of the mirror": (
        "package: s",
        "mirror: /etc/passwd, package: s",
        "data[0].mirror: '/etc/passwd' is not a relative path",
    ),
    "a source that is no address": (
        "package: sklearn.datasets.data/iris.csv",
        "source: Fisher",
        "data[0].source: 'Fisher' is not an address",
    ),
    "no data": (
        JOB[JOB.index("  - {") :],
        "  []\n",
        "data: [] does not fit; value should have at least 1 item",
    ),
    "a deadline of a second": ("model: iris", "model: iris\ndeadline: 1", "4: deadline: 1 does not fit"),
    "a typo": (
        "model: iris",
        "model: iris\nretry: 1",
        "4: retry: 'retry' is not a known field; did you mean 'retries'?",
    ),
}
RELEASE_TEXTS = {
    "a canary of 0": (
        "traffic: 10",
        "traffic: 0",
        "candidate.traffic: 0 does not fit; input should be greater",
    ),
    "a canary of 101": (
        "traffic: 10",
        "traffic: 101",
        "candidate.traffic: 101 does not fit; input should be less",
    ),
    "a canary without traffic": (
        "  traffic: 10\n",
        "",
        "candidate.traffic: is missing; mode canary needs it",
    ),
    "a shadow with traffic": (
        "mode: canary",
        "mode: shadow",
        "traffic: is for mode canary, not shadow; remove it",
    ),
    "an unknown mode": (
        "mode: canary",
        "mode: blue",
        "mode: 'blue' is not one of them; write 'canary', 'shadow'",
    ),
    "the same bytes twice": (
        digest("b"),
        digest("a"),
        f"candidate.digest: '{digest('a')}' is stable already; remove",
    ),
    "a short digest": (
        digest("a"),
        "sha256:aa",
        "3: stable.digest: 'sha256:aa' is not a digest; write 'sha256:'",
    ),
    "a digest without algorithm": (
        digest("a"),
        "a" * 64,
        "is not a digest; write 'sha256:' and 64 hex digits",
    ),
    "version 0": ("version: 1", "version: 0", "2: stable.version: 0 does not fit"),
    "a branch as commit": (
        'code: "0123abc"',
        "code: main",
        "stable.code: 'main' is not a commit; write its 7 to 40",
    ),
    "evidence that is no number": (
        "accuracy: 0.96",
        "accuracy: .nan",
        "evidence.accuracy: '.nan' does not fit",
    ),
    "evidence by word": ("accuracy: 0.96", "accuracy: true", "evidence.accuracy: True does not fit"),
    "a typo": ("evidence:", "evidense:", "'evidense' is not a known field; did you mean 'evidence'?"),
}


@pytest.mark.parametrize(("old", "new", "reason"), MODELS.values(), ids=MODELS)
def test_a_bad_model_is_refused_with_its_line_and_its_fix(old: str, new: str, reason: str) -> None:
    found = problems(tree(model=edited(MODEL, old, new)))
    assert any(line.startswith(f"{MODEL_PATH}:") and reason in line for line in found), found


@pytest.mark.parametrize(("old", "new", "reason"), JOBS.values(), ids=JOBS)
def test_a_bad_job_is_refused_with_its_line_and_its_fix(old: str, new: str, reason: str) -> None:
    found = problems(tree(job=edited(JOB, old, new)))
    assert any(line.startswith(f"{JOB_PATH}:") and reason in line for line in found), found


@pytest.mark.parametrize(("old", "new", "reason"), RELEASE_TEXTS.values(), ids=RELEASE_TEXTS)
def test_a_bad_release_is_refused_with_its_line_and_its_fix(old: str, new: str, reason: str) -> None:
    files = tree(RELEASES["canary"])
    files[RELEASE_PATH] = edited(files[RELEASE_PATH], old, new)
    found = problems(files)
    assert any(line.startswith(f"{RELEASE_PATH}:") and reason in line for line in found), found


def test_derived_data_is_declared_with_its_page_its_path_in_the_mirror_and_its_licence() -> None:
    text = edited(
        JOB,
        "package: sklearn.datasets.data/iris.csv",
        "source: 'https://a.example/iris', mirror: flowers/iris.csv, licence: CC BY 4.0",
    )
    (data,) = load(tree(job=text)).jobs["iris"].data
    assert (data.source, data.mirror, data.licence) == (
        "https://a.example/iris",
        "flowers/iris.csv",
        "CC BY 4.0",
    )
    assert (data.package, data.url) == (None, None)


def test_an_invalid_release_cannot_be_constructed_either() -> None:
    with pytest.raises(ValueError, match="is stable already; remove candidate"):
        Release(stable=version(1, "a"), candidate=candidate(2, "a", mode="shadow"))
    with pytest.raises(ValueError, match="is missing; mode header needs it"):
        candidate(mode="header")


def test_declarations_cannot_be_changed() -> None:
    release = RELEASES["canary"]
    with pytest.raises(ValueError, match="frozen"):
        release.stable = version(9, "f")  # type: ignore[misc]


def test_a_type_is_not_bent_to_fit() -> None:
    with pytest.raises(ValueError, match="valid integer"):
        Candidate.model_validate({**version(1, "a").model_dump(), "mode": "canary", "traffic": "10"})


def test_quantities_arrive_in_canonical_form() -> None:
    model = edited(MODEL, "job: iris", 'job: iris\nresources: {cpu: "0.5", memory: 1024Mi}')
    resources = load(tree(model=model)).models["iris"].resources
    assert (resources.cpu, resources.memory) == ("500m", "1Gi")


def test_two_models_of_one_name_name_both_owners() -> None:
    files = tree() | {"model-servers/other/model.yaml": edited(MODEL, "flowers", "gardens")}
    reason = f"'iris' is taken by {MODEL_PATH} (owners: flowers and gardens); rename one"
    assert only(problems(files)) == f"model-servers/other/model.yaml:1: name: {reason}"


def test_a_release_of_an_undeclared_model_is_refused() -> None:
    files = tree()
    files["model-servers/irsi/releases/dev.yaml"] = files[RELEASE_PATH]
    assert "'irsi' is not a known model; did you mean 'iris'?" in only(problems(files))


def test_a_release_in_an_undeclared_environment_is_refused() -> None:
    files = tree()
    files["model-servers/iris/releases/prod.yaml"] = files[RELEASE_PATH]
    assert "'prod' is not a known environment; known: dev" in only(problems(files))


def test_all_problems_of_all_files_come_in_one_error() -> None:
    files = tree(model=edited(MODEL, "owner", "ownr"), job=edited(JOB, "owner", "ownr"))
    with pytest.raises(DeclarationError) as caught:
        load(files)
    assert {line.split(":")[0] for line in caught.value.problems} == {MODEL_PATH, JOB_PATH}
    assert str(caught.value).splitlines() == list(caught.value.problems)


def test_a_broken_model_does_not_blame_its_job_and_releases() -> None:
    found = problems(tree(model=edited(MODEL, "owner: flowers\n", "")))
    assert only(found).startswith(f"{MODEL_PATH}:1: owner: is missing")


def test_folders_without_a_declaration_are_no_models_and_no_jobs() -> None:
    files = tree() | {"training-jobs/trainkit/graph.py": "x = 1\n"}
    assert set(load(files).jobs) == {"iris"}
