"""What the platform declares about an admission rule: what it looks at, and the CEL that must hold there.

The fields are those of a ValidatingAdmissionPolicy; its binding and the facts of an environment are rendered.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.declarations.declaration import Declaration, Many
from infra.declarations.errors import MisfitError
from infra.declarations.scalars import Sentence, Slug

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]
Words = Annotated[Many[str], Field(min_length=1)]
Expression = Annotated[str, Field(min_length=1, max_length=4096)]


class ResourceRule(Declaration):
    groups: Words = Field(alias="apiGroups")
    versions: Words = Field(alias="apiVersions", default=("*",))
    resources: Words
    operations: Annotated[Many[Operation], Field(min_length=1)]


class Named(Declaration):
    """A CEL expression with a name: a condition of the whole rule, or a variable of its validations."""

    name: str
    expression: Expression


class Validation(Declaration):
    """`expression` holds or the request is refused with what `messageExpression` gives."""

    expression: Expression
    message: Expression = Field(alias="messageExpression")
    reason: Literal["Forbidden", "Invalid"] = "Invalid"


class Policy(Declaration):
    """`namespaces`: where it holds; objects without a namespace are looked at as well."""

    name: Slug
    owner: Slug
    description: Sentence
    namespaces: Annotated[Many[Slug], Field(min_length=1)]
    resources: Annotated[Many[ResourceRule], Field(min_length=1)]
    conditions: Many[Named] = Field(alias="matchConditions", default=())
    variables: Many[Named] = ()
    validations: Annotated[Many[Validation], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_variable_a_name(self) -> Self:
        names = [variable.name for variable in self.variables]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise MisfitError(("variables", index, "name"), f"{name!r} is there twice; rename one")
        return self
