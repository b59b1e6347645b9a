"""Follows a branch: each new head is reviewed once, beside the loop; what is refused changes nothing."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from mainline.errors import Refusal
from mainline.git import Git
from mainline.local.layout import Layout
from mainline.local.review import Refused, Review, differences, marker, review

_LOOK_AGAIN = 5.0


@dataclass(slots=True)
class Watch:
    """`accepted` is what has to run; `head` is the newest commit seen, and `error` says why it is not accepted."""

    layout: Layout
    env: str
    replicas: int
    branch: str = "main"
    head: str | None = None
    error: str | None = None
    accepted: Review | None = None
    warnings: list[str] | None = None
    """None while they are being worked out."""
    seen: float = 0.0
    reviewed: float = 0.0
    _marker: Any = None
    _looked: float = float("-inf")
    _task: asyncio.Task[None] | None = None
    _comparing: asyncio.Task[None] | None = None

    async def resume(self, accepted: str | None) -> None:
        """Start from the newest commit, or from the last one accepted before where the newest is refused."""
        await self.look_once()
        if self.error and accepted and self.accepted is None:
            try:
                self.accepted = await asyncio.to_thread(
                    review, self._git(), accepted, self.env, self.replicas
                )
                self.warnings = []
            except Refused:
                return  # neither can be run; the error of the newest stands

    @property
    def looking(self) -> bool:
        return self._task is not None

    def tick(self, now: float) -> None:
        """Look when the branch may have moved; never waits."""
        if self._task and not self._task.done():
            return
        if self._task:
            self._task.result()
            self._task = None
        found = marker(self.layout.gitops, self.branch)
        if found != self._marker or now - self._looked > _LOOK_AGAIN:
            self._marker, self._looked = found, now
            self._task = asyncio.create_task(self.look_once())

    async def look_once(self) -> None:
        seen = time.monotonic()
        try:
            head = await asyncio.to_thread(self._git().resolve, f"refs/heads/{self.branch}")
        except (Refusal, OSError) as error:
            self.error = str(error)
            return
        if head is None:
            self.error = f"{self.layout.gitops.name} has no branch {self.branch} yet; push one"
        elif head != self.head:
            await self._review(head, seen)
        elif self.accepted and self.accepted.commit == head:
            self.error = None  # the branch was out of reach for a while, and is as it was

    async def _review(self, head: str, seen: float) -> None:
        try:
            accepted = await asyncio.to_thread(review, self._git(), head, self.env, self.replicas)
        except Refused as error:
            self.head, self.error = head, str(error)
            return
        self.head, self.error, self.accepted, self.warnings = head, None, accepted, None
        self.seen, self.reviewed = seen, time.monotonic()
        # Comparing renders everything; servers start meanwhile, and a newer commit does not wait for it.
        self._comparing = asyncio.create_task(self._compare(accepted))

    async def _compare(self, accepted: Review) -> None:
        warnings = await asyncio.to_thread(differences, accepted, self.env)
        if self.accepted is accepted:
            self.warnings = warnings

    def _git(self) -> Git:
        return Git(self.layout.gitops)
