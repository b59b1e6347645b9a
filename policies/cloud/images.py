"""Images cannot change behind their name, are looked through, and are named by digest where AWS runs them."""

import re
from collections.abc import Iterator

from policies.cloud.resource import Facts, Resource, Rule, Unknown, each, holds, part

_REPOSITORY = "aws:ecr/repository:Repository"
_FUNCTION = "aws:lambda/function:Function"
_PINNED = re.compile(r"[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com/[-a-z0-9._/]+@sha256:[0-9a-f]{64}")


def _moving(one: Resource, _: Facts) -> Iterator[str]:
    if one.kind == _FUNCTION:
        uri = one.props.get("imageUri")
        if uri is not None and not isinstance(uri, Unknown) and not _PINNED.fullmatch(str(uri)):
            yield f"runs {uri}; name an image of the account's registry by its digest"
        return
    if not holds(one.props.get("imageTagMutability"), "IMMUTABLE"):
        yield "lets a tag be pushed again with other bytes; set image_tag_mutability to IMMUTABLE"
    if not holds(part(one.props.get("imageScanningConfiguration"), "scanOnPush"), True):
        yield "is not looked through for known faults; set image_scanning_configuration.scan_on_push"


MOVING = Rule(
    "moving-images", "An image's name means the same bytes for ever.", each(_moving, _REPOSITORY, _FUNCTION)
)
