"""Stack files: what an environment is made of, and what a stack file may not say."""

from pathlib import Path

import pytest

from infra.declarations.document import read_document
from infra.declarations.environment import Environment
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.stack import read_project
from infra.declarations.tree import is_declaration, read_tree
from tests.infra.samples import PROJECT, STACK, STACK_PATH, edited, problems, tree

ROOT = Path(__file__).parents[2]
STORE = "  mainline:store: s3://models-dev"
REFUSED = {
    "a typo": ("  mainline:trian: true", "'trian' is not a known field of mainline:; did you mean 'trains'?"),
    "a name of its own": ("  mainline:name: x", "'name' is not a known field of mainline:"),
    "a typo at the top": ("confg: {}", "'confg' is not a known key; did you mean 'config'?"),
    "a word for a boolean": ("  mainline:trains: yes", "trains: 'yes' does not fit"),
    "a number in quotes": ('  mainline:port: "8080"', "port: '8080' does not fit"),
    "a secret": (
        "  mainline:domain: {secure: AAAB}",
        "config.mainline:domain: is a secret, and what is here",
    ),
    "a secret inside": (
        "  mainline:models: {iris: {replicas: {secure: x}}}",
        "config.mainline:models.iris.replicas: is a secret",
    ),
    "a host without a dot": (
        "  mainline:domain: models",
        "domain: 'models' is not a host name; write it like",
    ),
    "an upper-case host": ("  mainline:domain: Models.example.com", "is not a host name"),
    "steps that fall": ("  mainline:steps: [50, 10]", "steps: [50, 10] does not rise; write the percentages"),
    "a step of 100": ("  mainline:steps: [10, 100]", "steps[1]: 100 does not fit"),
    "an image without a tag": (
        "  mainline:images: {v2serve: a/b}",
        "images.v2serve: 'a/b' is not a pinned image",
    ),
    "an image at latest": (
        "  mainline:images: {v2serve: 'a/b:latest'}",
        "'a/b:latest' moves after review; pin a tag",
    ),
    "an image by a short digest": (
        "  mainline:images: {training: 'a@sha256:00'}",
        "is not a pinned image; write",
    ),
    "an unknown cluster": ("  mainline:cluster: minikube", "'minikube' is not one of them; write 'embedded'"),
    "a floor of 0": ("  mainline:floor: 0", "floor: 0 does not fit"),
    "no time to drain": (
        "  mainline:drain: 0",
        "drain: 0 does not fit; input should be greater than or equal",
    ),
    "a drain beyond ten minutes": ("  mainline:drain: 601", "drain: 601 does not fit; input should be less"),
    "half a second of draining": ("  mainline:drain: 0.5", "drain: 0.5 does not fit"),
    "a certificate without a domain": (
        "  mainline:gateway: {certificate: tls}",
        "gateway.certificate: 'tls' has no host name to certify; set mainline:domain",
    ),
    "a model that is not there": (
        "  mainline:models: {irsi: {replicas: {max: 2}}}",
        "models.irsi: 'irsi' is not a known model; did you mean 'iris'?",
    ),
    "a typo in an override": (
        "  mainline:models: {iris: {replica: {max: 2}}}",
        "models.iris.replica: 'replica' is not a known field; did you mean 'replicas'?",
    ),
    "a git address with a password": (
        "  mainline:repository: https://me:secret@git.example.com/x",
        "is not a Git address; write 'https://host/team/repository.git' without a password",
    ),
}
STORES = {
    "a slash at the end": ("s3://models/", "is not a store"),
    "another scheme": ("ftp://models", "is not a store"),
    "a web server": ("https://models.example.com", "(or gs, az, file, mainline) without a slash"),
    "no scheme": ("models", "is not a store; write 's3://bucket/prefix'"),
}


@pytest.mark.parametrize(("added", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_bad_stack_file_is_refused_with_its_line_and_its_fix(added: str, reason: str) -> None:
    found = problems(tree(stack=f"{STACK}{added}\n"))
    assert any(line.startswith(f"{STACK_PATH}:5: ") and reason in line for line in found), found


@pytest.mark.parametrize(("store", "reason"), STORES.values(), ids=STORES)
def test_a_bad_store_is_refused(store: str, reason: str) -> None:
    found = problems(tree(stack=edited(STACK, "s3://models-dev", store)))
    assert any(line.startswith(f"{STACK_PATH}:3: store: ") and reason in line for line in found), found


def test_a_stack_without_a_store_is_refused() -> None:
    stack = edited(STACK, f"{STORE}\n", "") + "  mainline:cluster: existing\n"
    found = problems(tree(stack=stack))
    assert f"{STACK_PATH}:1: store: is missing; add 'store:'" in found


def test_the_store_of_an_environment_in_aws_is_named_after_its_account() -> None:
    own = load(tree(stack=edited(STACK, f"{STORE}\n", ""))).environments["dev"]
    assert own.store == "s3://mainline-dev-models-111111111111"


def test_the_images_of_an_environment_in_aws_are_those_of_its_own_registry() -> None:
    own = load(tree(stack=f"{STACK}  mainline:images: {{training: 'a/b:1'}}\n")).environments["dev"].images
    assert own.v2serve == "111111111111.dkr.ecr.eu-central-1.amazonaws.com/mainline/v2serve:0.1.0"
    assert own.training == "a/b:1"


def test_what_pulumi_writes_into_a_stack_file_is_accepted() -> None:
    stack = f"encryptionsalt: v1:abc\nsecretsprovider: passphrase\n{STACK}"
    assert load(tree(stack=stack)).environments["dev"].store == "s3://models-dev"


def test_other_namespaces_belong_to_others() -> None:
    stack = f"{STACK}  aws:anything: {{secure: AAAB}}\n"
    assert load(tree(stack=stack)).environments["dev"].name == "dev"


def test_a_stack_overrides_the_default_of_the_project() -> None:
    own = "https://git.example.com/fork/mainline.git"
    assert load(tree()).environments["dev"].repository == "https://git.example.com/team/mainline.git"
    assert load(tree(stack=f"{STACK}  mainline:repository: {own}\n")).environments["dev"].repository == own


def test_a_default_for_a_field_that_does_not_exist_is_refused() -> None:
    project = f"{PROJECT}  brunch: {{type: string, default: main}}\n"
    found = problems(tree(project=project))
    assert (
        "Pulumi.yaml:6: config.brunch: 'brunch' is not a known field of mainline:; did you mean 'branch'?"
        in found
    )


def test_another_project_name_is_refused_because_keys_would_not_be_found() -> None:
    found = problems(tree(project=edited(PROJECT, "name: mainline", "name: other")))
    assert "Pulumi.yaml:1: name: 'other' is not the namespace of the stacks' keys; write 'mainline'" in found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Pulumi.yaml", True),
        ("Pulumi.dev.yaml", True),
        ("model-servers/iris/model.yaml", True),
        ("model-servers/iris/releases/dev.yaml", True),
        ("training-jobs/iris/job.yaml", True),
        ("training-jobs/iris/train.py", True),
        ("training-jobs/iris/dvc.lock", True),
        ("training-jobs/iris/data/iris.csv", False),
        ("training-jobs/iris/sub/train.py", False),
        ("model-servers/iris/model.py", True),
        ("model-servers/iris/notes.py", False),
        ("training-jobs/iris/conf/small.yaml", True),
        ("training-jobs/iris/work/best.yaml", False),
        ("clusters/dev/Pulumi.yaml", False),
        ("infra/Pulumi.dev.yaml", False),
        ("../Pulumi.yaml", False),
    ],
)
def test_only_these_paths_are_declarations(path: str, expected: bool) -> None:
    assert is_declaration(path) is expected


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_bytes(b"name: \xff\n")
    with pytest.raises(DeclarationError, match=r"Pulumi.yaml:1: byte 6 is not UTF-8; save the file as UTF-8"):
        read_tree(tmp_path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DeclarationError, match=r"Pulumi.yaml:1: cannot be read: Permission denied; check"):
        read_tree(tmp_path)


def test_the_stacks_of_this_repository_hold_only_what_differs() -> None:
    files = read_tree(ROOT)
    fields = {info.alias or name: info for name, info in Environment.model_fields.items()}
    defaults = {n: f.get_default(call_default_factory=True) for n, f in fields.items() if not f.is_required()}
    defaults |= read_project(files["Pulumi.yaml"])
    stacks = {
        path: text for path, text in files.items() if path.startswith("Pulumi.") and path != "Pulumi.yaml"
    }
    repeated = [
        f"{path}: {key}"
        for path, text in stacks.items()
        for key, value in read_document(path, text).value["config"].items()
        if defaults.get(key.removeprefix("mainline:"), object()) == value
    ]
    assert len(stacks) == 4
    assert repeated == []
