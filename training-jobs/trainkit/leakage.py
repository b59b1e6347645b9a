"""Nothing is in two splits, by a key (a scene, a user, a time) or by its content."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from itertools import combinations

from trainkit.checks import Finding, finding


def content_key(content: bytes | str) -> bytes:
    """Equal for equal bytes, and for texts that differ in case and blanks only."""
    raw = " ".join(content.casefold().split()).encode() if isinstance(content, str) else content
    return hashlib.sha256(raw).digest()


def check_leakage(what: str, splits: Mapping[str, Iterable[Hashable]]) -> Finding:
    """`what` the keys are, in the plural: "scenes"; `splits` have a key a row."""
    keys = {name: set(found) for name, found in splits.items()}
    shared = [(one, other, keys[one] & keys[other]) for one, other in combinations(keys, 2)]
    told = [
        f"{len(both)} {what} are in {one} and in {other}{_first(both)}" for one, other, both in shared if both
    ]
    return finding(f"split leakage by {what}", "; ".join(told) or None)


def check_copies(what: str, keys: Iterable[Hashable], max_share: float) -> Finding:
    """Copies within a split weigh double; `max_share` of all rows is in 0..1."""
    counts = Counter(keys)
    rows, copies = counts.total(), counts.total() - len(counts)
    share = copies / max(rows, 1)
    over = f"{copies} {what} are copies of others, share {share:.3f} is above {max_share}"
    return finding(f"copies of {what}", over if share > max_share else None)


def _first(keys: set[Hashable]) -> str:
    """An example, where a person could read one."""
    readable = sorted(str(key) for key in keys if isinstance(key, str | int))
    return f", first {readable[0]}" if readable else ""
