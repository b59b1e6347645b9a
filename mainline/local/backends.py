"""The gateway's way to the servers: endpoints of each Service, one pooled session each, and what is on its way."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import aiohttp

_CONNECT_TIMEOUT = 2.0
_SILENCE = 60.0
_KEEP_ALIVE = 30.0
_MOST_CONNECTIONS = 64
"""To one endpoint; more requests than that wait here for their turn, not in the backlog of a server."""


class Backends:
    """`in_flight` and `answers` (since the start) count by URL.

    A removed endpoint keeps its session until nothing is on its way to it.
    """

    def __init__(self) -> None:
        self.services: Mapping[str, tuple[str, ...]] = {}
        self.in_flight: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._changed = asyncio.Event()

    def update(self, services: Mapping[str, tuple[str, ...]]) -> list[aiohttp.ClientSession]:
        """Take the live endpoints; returns the sessions that nobody needs any more, to be closed."""
        self.services = services
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        urls = {url for of in services.values() for url in of}
        self.answers = Counter({url: count for url, count in self.answers.items() if url in urls})
        unused = [url for url in self._sessions if url not in urls and not self.in_flight[url]]
        return [self._sessions.pop(url) for url in unused]

    async def change(self, timeout: float) -> None:
        """Wait until endpoints were updated, at most `timeout` seconds."""
        try:
            await asyncio.wait_for(self._changed.wait(), timeout)
        except TimeoutError:
            return

    def choose(self, service: str, avoid: Collection[str]) -> str | None:
        """The endpoint with the fewest requests on their way; one that just failed only where there is no other."""
        urls = self.services.get(service, ())
        fresh = [url for url in urls if url not in avoid] if avoid else urls
        return min(fresh or urls, key=self.in_flight.__getitem__, default=None)

    @contextmanager
    def on_its_way(self, url: str) -> Iterator[aiohttp.ClientSession]:
        self.in_flight[url] += 1
        try:
            yield self._session(url)
        finally:
            self.in_flight[url] -= 1
            if not self.in_flight[url]:
                del self.in_flight[url]

    def by_service(self) -> dict[str, int]:
        return {name: sum(self.in_flight[url] for url in urls) for name, urls in self.services.items()}

    def by_endpoint(self) -> dict[str, int]:
        return dict(self.in_flight)

    def _session(self, url: str) -> aiohttp.ClientSession:
        if url not in self._sessions:
            connector = aiohttp.TCPConnector(
                limit=_MOST_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE, use_dns_cache=False
            )
            self._sessions[url] = aiohttp.ClientSession(
                connector=connector,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("user-agent", "content-type", "accept", "accept-encoding"),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_SILENCE),
            )
        return self._sessions[url]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
