"""Keeps the gateway alive, and knows what it last said."""

import asyncio
import time
from collections.abc import Mapping
from signal import SIGKILL
from typing import Any

from mainline.local import records
from mainline.local.layout import Layout
from mainline.local.probe import ProbeError, get_json

_TIMEOUT = 1.0
_HUNG = 8.0
_PAUSE_BETWEEN_STARTS = 1.0
_CALM, _URGENT = 0.5, 0.01


class Keeper:
    """What the gateway said last: `generation`, `in_flight` (by URL), None while it does not answer; and `answers`."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.generation: int | None = None
        self.in_flight: Mapping[str, int] | None = None
        self.answers: Mapping[str, int] = {}
        self._known: records.Record | None = None
        self._heard = 0.0
        self._asked = 0.0
        self._started = 0.0
        self._task: asyncio.Task[None] | None = None

    def tick(self, now: float, urgent: bool) -> None:
        """Ask when it is time; start it again when it died."""
        if not self._due(now, urgent):
            return
        record = records.read_record(self.layout, records.GATEWAY)
        if record != self._known:
            self._known, self._heard = record, now
        if record is None:
            return
        self._asked = now
        if record.alive():
            self._task = asyncio.create_task(self._ask(record))
        elif now - self._started > _PAUSE_BETWEEN_STARTS:
            self._started, self.generation, self.in_flight = now, None, None
            start_gateway(self.layout, record.port or 0)

    def warnings(self) -> list[str]:
        """One while it does not run, with its last words."""
        if self._known is None or self._known.alive():
            return []
        words = records.last_line(self.layout.log(records.GATEWAY)).removeprefix("gateway: ")
        return [f"the gateway does not run and is started again{': ' if words else ''}{words}"]

    def _due(self, now: float, urgent: bool) -> bool:
        asking = self._task is not None and not self._task.done()
        return not asking and now - self._asked >= (_URGENT if urgent else _CALM)

    async def _ask(self, record: records.Record) -> None:
        try:
            _, said = await get_json(record.port or 0, "/-/gateway", _TIMEOUT)
        except ProbeError:
            said = None
        self._hear(said if isinstance(said, dict) else None, record, time.monotonic())

    def _hear(self, said: dict[str, Any] | None, record: records.Record, now: float) -> None:
        self.generation = said.get("generation") if said else None
        self.in_flight = said.get("endpoints", {}) if said else None
        self.answers = said.get("answers", {}) if said else {}
        if said:
            self._heard = now
        elif now - self._heard > _HUNG:
            self._heard = now
            record.signal(SIGKILL)


def start_gateway(layout: Layout, port: int) -> records.Record:
    return records.spawn_module(layout, "mainline.local.gateway", records.GATEWAY, "--port", str(port))
