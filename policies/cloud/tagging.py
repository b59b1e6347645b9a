"""Everything that takes tags says who answers for it and who pays."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from policies.cloud.resource import Facts, Resource, Rule, Unknown, each


@cache
def taggable() -> frozenset[str]:
    """The kinds of pulumi-aws that take tags."""
    return frozenset(Path(__file__).with_name("taggable.txt").read_text().split())


def _untagged(one: Resource, facts: Facts) -> Iterator[str]:
    given = [one.props.get("tags"), one.props.get("tagsAll")]
    if one.kind not in taggable() or any(isinstance(tags, Unknown) for tags in given):
        return
    present = set(one.inherited).union(*(tags for tags in given if isinstance(tags, Mapping)))
    missing = [name for name in facts.tags if name not in present]
    if missing:
        yield f"has no tag {', '.join(missing)}; give the provider default_tags, or the resource its own"


UNTAGGED = Rule("untagged", "Everything that takes tags has the mandatory ones.", each(_untagged))
