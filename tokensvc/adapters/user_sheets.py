"""User sheets: users written as CSV or JSON Lines, to be read by people and imported again."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Final, TextIO

from tokensvc.adapters.csv_rows import disarmed
from tokensvc.domain.ports import DirectoryUser
from tokensvc.domain.rosters import tags_cell

HEADING: Final = ("uid", "name", "avatar", "role", "tags", "metadata", "deactivated")


def _csv_line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    # Before Python 3.13 a carriage return is put in quotation marks only where it ends lines.
    csv.writer(line, lineterminator="\r\n").writerow(map(disarmed, cells))
    return line.getvalue().removesuffix("\r\n") + "\n"


def _as_csv(entry: DirectoryUser) -> str:
    profile = entry.user.profile
    metadata = dict(profile.metadata)
    return _csv_line(
        (
            *(entry.user.uid, profile.name or "", profile.avatar or "", profile.role or ""),
            tags_cell(profile),
            json.dumps(metadata, ensure_ascii=False) if metadata else "",
            "true" if entry.is_deactivated else "",
        )
    )


def _as_json(entry: DirectoryUser) -> str:
    members = members_of_user(entry)
    return json.dumps(members, ensure_ascii=False) + "\n"


def members_of_user(entry: DirectoryUser) -> dict[str, object]:
    """Return the user as a JSON object; what is absent is left out."""
    profile = entry.user.profile
    members: dict[str, object] = {
        "uid": entry.user.uid,
        "name": profile.name,
        "avatar": profile.avatar,
        "role": profile.role,
        "tags": [*profile.tags],
        "metadata": dict(profile.metadata),
        "deactivated": entry.is_deactivated,
    }
    return {name: value for name, value in members.items() if value}


_WRITERS: Final[Mapping[str, Callable[[DirectoryUser], str]]] = {
    "csv": _as_csv,
    "jsonl": _as_json,
}
SHEETS: Final = tuple(_WRITERS)


class UserSheet:
    """Writes users to *stream*, under a heading where the format has one."""

    def __init__(self, stream: TextIO, file_format: str) -> None:
        self._stream = stream
        self._write = _WRITERS[file_format]
        if file_format == "csv":
            stream.write(_csv_line(HEADING))

    def add(self, entry: DirectoryUser) -> None:
        """Write one user."""
        self._stream.write(self._write(entry))
