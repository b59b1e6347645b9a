"""One bounded GET to a process of this machine: what a kubelet's probe is."""

import asyncio
import json
from typing import Any

HOST = "127.0.0.1"
_MOST = 4 * 1024 * 1024


class ProbeError(OSError):
    """No answer, or none that is HTTP."""


async def get_json(port: int, path: str, timeout: float) -> tuple[int, Any]:
    """Status and decoded body (None where it is not JSON); raises ProbeError."""
    try:
        async with asyncio.timeout(timeout):
            status, body = await _get(port, path)
    except TimeoutError as error:
        raise ProbeError(f"no answer from port {port} within {timeout:g} s") from error
    except (OSError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        raise ProbeError(f"port {port}: {error}") from error
    try:
        return status, json.loads(body)
    except ValueError:
        return status, None


async def _get(port: int, path: str) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        length = int(headers.get("content-length", "-1"))
        body = await reader.readexactly(min(length, _MOST)) if length >= 0 else await reader.read(_MOST)
        return int(lines[0].split()[1]), body
    except asyncio.IncompleteReadError as error:
        raise ProbeError(f"port {port} closed the connection") from error
    finally:
        writer.close()
