"""IAM's decision, in small: an explicit deny wins, then an allow, then nothing; a boundary has to allow as well.

What it knows is what our documents say; an operator that it does not know fails, so that nothing is taken for allowed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, Any]


def allowed(
    documents: Iterable[Document],
    action: str,
    resource: str,
    context: Context | None = None,
    principal: str | None = None,
) -> bool:
    """`principal`: for policies of resources, the service or account that asks."""
    effects = {
        statement["Effect"]
        for document in documents
        for statement in document["Statement"]
        if _applies(statement, action, resource, context or {}, principal)
    }
    return "Allow" in effects and "Deny" not in effects


def _applies(
    statement: Mapping[str, Any], action: str, resource: str, context: Context, principal: str | None
) -> bool:
    if "NotAction" in statement:
        acts = not _any(statement["NotAction"], action, fold=True)
    else:
        acts = _any(statement["Action"], action, fold=True)
    on = "Resource" not in statement or _any(statement["Resource"], resource)
    return acts and on and _is(statement.get("Principal"), principal) and _holds(statement, context)


def _is(wanted: Any, principal: str | None) -> bool:
    if wanted is None or wanted == "*":
        return True
    return any(principal in _many(value) for value in wanted.values())


def _any(patterns: Any, text: str, fold: bool = False) -> bool:
    return any(like(pattern, text, fold) for pattern in _many(patterns))


def like(pattern: str, text: str, fold: bool = False) -> bool:
    """`*` is any text, `?` one character."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, text, re.IGNORECASE if fold else 0) is not None


def _many(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]


def _holds(statement: Mapping[str, Any], context: Context) -> bool:
    return all(
        _operators(operator, key, _many(wanted), context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _operators(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    if operator == "Null":
        return (key not in context) is (wanted == ["true"])
    quantifier, _, plain = operator.rpartition(":")
    if plain.endswith("IfExists"):
        if key not in context:
            return True
        plain = plain.removesuffix("IfExists")
    given = _many(context[key]) if key in context else []
    if quantifier == "ForAllValues":
        return all(_matches(plain, value, wanted) for value in given)
    if quantifier == "ForAnyValue":
        return any(_matches(plain, value, wanted) for value in given)
    if plain.startswith("StringNot"):
        return not given or not any(_compare(plain.replace("Not", ""))(value, given[0]) for value in wanted)
    return len(given) == 1 and _matches(plain, given[0], wanted)


def _matches(operator: str, given: str, wanted: list[str]) -> bool:
    compare = _compare(operator)
    return any(compare(value, given) for value in wanted)


def _compare(operator: str) -> Callable[[str, str], bool]:
    known: dict[str, Callable[[str, str], bool]] = {
        "StringEquals": lambda wanted, given: wanted == given,
        "StringLike": like,
        "ArnLike": like,
        "ArnEquals": like,
        "Bool": lambda wanted, given: wanted.lower() == given.lower(),
        "NumericLessThan": lambda wanted, given: float(given) < float(wanted),
    }
    return known[operator]
