"""What was recorded of other servers: the rules that they depart from."""

from __future__ import annotations

import json
from pathlib import Path

KSERVE = Path(__file__).parent / "departures" / "kserve-0.21.0.json"


def recorded(path: Path) -> set[str]:
    return set(json.loads(path.read_text("utf-8")))
