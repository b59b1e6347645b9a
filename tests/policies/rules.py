"""The rules as one environment renders them, and their samples as requests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.declarations.document import read_document
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.render import applications
from policies.evaluate import bound
from policies.request import Request, User
from tests.infra.samples import RELEASES, STACK, tree

ROOT = Path(__file__).parents[2]
OWN = {path: text for path, text in read_tree(ROOT).items() if path.endswith("/policy.yaml")}

# What the samples take for granted beside the defaults: digests alone, and one GPU.
PINNED = f"""\
  mainline:images:
    v2serve: mainline/v2serve@sha256:{"a" * 64}
    training: mainline/training@sha256:{"b" * 64}
    fleet: mainline/training-fleet@sha256:{"c" * 64}
    pinned: digest
  mainline:ceilings: {{gpus: 1}}
"""


def folders(mode: str = "direct", stack: str = "") -> dict[str, list[dict[str, Any]]]:
    """What an environment with a released model renders under this repository's rules."""
    wanted = stack or STACK.replace("s3://models-dev", "s3://models") + PINNED
    return applications(load({**tree(RELEASES[mode], stack=wanted), **OWN}), "dev")


def rules(mode: str = "direct", stack: str = "") -> dict[str, Any]:
    """Rule -> its rendered policy, if a binding puts it into force."""
    found = bound(folders(mode, stack)["platform"])
    return {item["metadata"]["name"].removesuffix(".mainline.dev"): item for item in found}


@dataclass(frozen=True)
class Sample:
    """A file of allowed/ or refused/; `reason` is what the refusal has to say."""

    rule: str
    allowed: bool
    request: Request
    reason: str


def sample(path: Path) -> Sample:
    found = read_document(path.name, path.read_text()).value
    user = User(found["user"]["name"], tuple(found["user"].get("groups", ("system:authenticated",))))
    sides = (found.get("object"), found.get("old"))
    request = Request(found["operation"], user, *sides, subresource=found.get("subresource", ""))
    allowed = path.parent.name == "allowed"
    return Sample(path.parents[1].name, allowed, request, found.get("reason", ""))


FILES = sorted((ROOT / "policies").glob("*/*/*.yaml"))
