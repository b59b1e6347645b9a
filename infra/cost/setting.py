"""Where something is priced: the environment, what it declares of AWS, the prices, and what is assumed."""

from dataclasses import dataclass

from infra.cost.book import Assumptions, Book
from infra.declarations.cloud import Cloud


@dataclass(frozen=True, slots=True)
class Setting:
    env: str
    cloud: Cloud
    book: Book
    assumed: Assumptions
