"""Recorded deliveries: what each sender sends, written after their documentation."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.builders import NOW

FOLDER: Final = Path(__file__).parent / "recorded"


@dataclass(frozen=True)
class Recorded:
    """One delivery of one source, and the events that are in it."""

    sender: str
    source: str
    says: str
    body: dict[str, Any]
    events: list[dict[str, Any]]
    ignored: int

    @property
    def name(self) -> str:
        return f"{self.source}: {self.says}"


def recorded() -> list[Recorded]:
    """Return all of them."""
    return [
        Recorded(
            sender=file.stem.replace("_", "-"),
            source=source,
            says=case["says"],
            body=case["body"],
            events=case["events"],
            ignored=case.get("ignored", 0 if case["events"] else 1),
        )
        for file in sorted(FOLDER.glob("*.json"))
        for case in json.loads(file.read_text())
        for source in case["sources"]
    ]


def milliseconds(text: str) -> int:
    """Return the time in *text*, which may be the arrival."""
    seconds = NOW if text == "arrival" else datetime.fromisoformat(text).timestamp()
    return round(seconds * 1000)


RECORDED: Final = recorded()
WITH_EVENTS: Final = [case for case in RECORDED if case.events]
ONE_OF_EACH: Final = list({case.source: case for case in reversed(WITH_EVENTS)}.values())
