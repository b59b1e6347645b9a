"""How much may run: of one server, of one team, and of a whole environment."""

from typing import Annotated

from pydantic import Field

from infra.declarations.declaration import Declaration
from infra.declarations.quantity import Cpu, Memory
from infra.declarations.scalars import Replicas, Slug

Gpus = Annotated[int, Field(ge=0, le=1000)]
Total = Annotated[int, Field(ge=1, le=100_000)]


class Ceiling(Declaration):
    """`replicas`: what all servers may scale up to together; `gpus`: what servers and running Jobs ask for together."""

    replicas: Total | None = None
    gpus: Gpus | None = None


class Quota(Declaration):
    """What all Jobs of Kueue's queue may ask for at once; the others wait."""

    cpu: Cpu
    memory: Memory
    gpus: Gpus = 0


class Ceilings(Declaration):
    """Of an environment; `server` is the most replicas of one server. Without a word nobody gets a GPU."""

    server: Replicas = 50
    replicas: Total = 1000
    gpus: Gpus = 0
    teams: dict[Slug, Ceiling] = Field(default_factory=dict)
