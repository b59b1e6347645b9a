"""What every declaration is, a frozen value without unknown fields; how pydantic's refusals become ours."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from infra.declarations.document import Document
from infra.declarations.errors import DeclarationError, Location, MisfitError, problem, unknown


class Declaration(BaseModel):
    """Types are strict: '1' is not 1, 1 is not true."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


D = TypeVar("D", bound=Declaration)
T = TypeVar("T")


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Many = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]


def parse(model: type[D], value: Any, document: Document, at: Location = ()) -> D:
    """The declaration in a part of a document. Raises DeclarationError with every problem of that part."""
    if not isinstance(value, Mapping):
        raise DeclarationError([_not_a_mapping(model, value, document, at)])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise DeclarationError([_line(model, detail, document, at) for detail in details]) from None


def _not_a_mapping(model: type[Declaration], value: Any, document: Document, at: Location) -> str:
    fields = ", ".join(_names(model))
    return problem(
        document.file, document.line(at), at, f"{value!r} is not a mapping; write the fields {fields}"
    )


def _line(model: type[Declaration], detail: ErrorDetails, document: Document, at: Location) -> str:
    field: Location = detail["loc"]
    raised = detail.get("ctx", {}).get("error")
    if isinstance(raised, MisfitError):
        field = (*field, *raised.field)
    text = _message(model, field, detail)
    return problem(document.file, document.line((*at, *field)), field, text)


def _message(model: type[Declaration], field: Location, detail: ErrorDetails) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown(str(field[-1]), _names(_around(model, field[:-1])))
    if kind == "missing":
        return f"is missing; add '{field[-1]}:'"
    if kind == "model_type":
        return f"{given!r} is not a mapping; write the fields {', '.join(_names(_around(model, field)))}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{given!r} is not one of them; write {context['expected']}"
    fix = "put it in quotes" if kind == "string_type" and isinstance(given, int | float) else detail["msg"]
    return f"{given!r} does not fit; {_lower(fix)}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _names(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _around(model: type[BaseModel], field: Location) -> type[BaseModel] | None:
    """The class of the mapping at a location; items and keys lead to the class of their values."""
    here: type[BaseModel] | None = model
    for key in field:
        named = {info.alias or name: info for name, info in here.model_fields.items()} if here else {}
        if isinstance(key, str) and key in named:
            here = next(_classes(named[key].annotation), None)
    return here


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _classes(part)
