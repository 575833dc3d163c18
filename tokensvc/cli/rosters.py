"""The app's list of users, as a command opens it: verified as a whole, and then used."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from tokensvc.adapters.file_rows import FileRow, UserFileError
from tokensvc.adapters.user_files import FORMATS, SUFFIXES, seekable, user_rows
from tokensvc.domain.columns import Columns, RowError, parse_columns
from tokensvc.domain.model import ChatUser
from tokensvc.domain.reconciling import FIELDS
from tokensvc.domain.rosters import NoIssuerError, RosterReader
from tokensvc.services_users import roster_reader
from tokensvc.settings import Settings

CHUNK_BYTES: Final = 256 * 1024
DIGEST_BYTES: Final = 12
MAX_UNREAD: Final = 20
"""How many columns that are not read are named."""
MAX_SHOWN: Final = 20
"""How many rows are named one by one."""


@dataclass(slots=True)
class Roster:
    """The list: its rows, and after `verify` what is wrong with which of them."""

    stream: BinaryIO
    file_format: str
    reader: RosterReader
    issuers: Sequence[str] = ()
    """Whose subjects may be in it."""
    ignored: Sequence[str] = ()
    """The columns of which the operator says that they are to say nothing."""
    faults: dict[str, str] = field(default_factory=dict)
    """By place."""
    count: int = 0
    broken: UserFileError | None = None
    """Why the rest of the file cannot be told into rows."""
    unread: dict[str, None] = field(default_factory=dict)
    said: set[str] = field(default_factory=set)
    """The fields for which there is a column."""
    deactivated: int = 0
    """How many rows say that their user is."""

    @property
    def unsaid(self) -> frozenset[str]:
        """The fields of which the list says nothing about anybody."""
        return frozenset(FIELDS) - self.said

    def verify(self) -> None:
        """Read every row, and note what is wrong; ends the command if it is a column's name."""
        places: dict[bytes, str] = {}
        try:
            for row in user_rows(self.stream, self.file_format):
                self.count += 1
                fault = self._fault(row, places)
                if fault:
                    self.faults[row.place] = fault
                else:
                    self.deactivated += self.reader.is_deactivated(row.fields)
        except UserFileError as error:
            self.broken = error
        self._demand_no_slips()

    def _demand_no_slips(self) -> None:
        """End the command if a column's name looks mistyped: nobody would get what it says."""
        for column in self.unread:
            meant = self.reader.columns.meant(column, self.said)
            if meant and column not in self.ignored:
                raise click.UsageError(
                    f"the column {column!r} is not read: did you mean {meant!r}? Rename it, or "
                    f"say --map FIELD={column}, or --ignore-column {column}"
                )

    def _fault(self, row: FileRow, places: dict[bytes, str]) -> str:
        if row.fault:
            return row.fault
        self._look_at_columns(row)
        try:
            uid = self.reader.read(row.fields).uid
        except NoIssuerError:
            raise click.UsageError(_whose(self.issuers)) from None
        except RowError as error:
            return error.reason
        # Digests, because a hundred thousand uids of full length take 20 MB.
        digest = hashlib.sha256(uid.encode()).digest()[:DIGEST_BYTES]
        first = places.setdefault(digest, row.place)
        return "" if first == row.place else f"the row is the same user as {first}"

    def _look_at_columns(self, row: FileRow) -> None:
        columns = self.reader.columns
        self.said.update(columns.said(row.fields))
        if len(self.unread) < MAX_UNREAD:
            self.unread.update(dict.fromkeys(columns.unread(row.fields)))
        # In JSON a member may be absent here and there.
        missing = next(columns.missing(row.fields), None) if self.file_format == "csv" else None
        if missing is not None:
            raise click.BadParameter(f"there is no column {missing!r}", param_hint="--map")

    def entries(self) -> Iterator[tuple[FileRow, ChatUser | None]]:
        """Yield the rows with their users; None where the row is faulty."""
        for row in user_rows(self.stream, self.file_format):
            yield row, None if row.place in self.faults else self._user(row)

    def _user(self, row: FileRow) -> ChatUser | None:
        try:
            return None if row.fault else self.reader.read(row.fields)
        except RowError as error:
            # The file was changed since it was verified.
            self.faults[row.place] = error.reason
            return None

    def digest(self) -> str:
        """Return what tells this list from any other."""
        self.stream.seek(0)
        digest = hashlib.sha256()
        while chunk := self.stream.read(CHUNK_BYTES):
            digest.update(chunk)
        return digest.hexdigest()

    def tell_faults(self) -> None:
        """Say on stderr which rows cannot be used, and which columns say nothing."""
        unread = [name for name in self.unread if name not in self.ignored][:MAX_UNREAD]
        if unread:
            names = ", ".join(map(repr, unread))
            click.echo(f"not read: the column{'s' * (len(unread) > 1)} {names}", err=True)
        for place, fault in list(self.faults.items())[:MAX_SHOWN]:
            click.echo(f"{place}: {fault}", err=True)
        if len(self.faults) > MAX_SHOWN:
            click.echo(f"… and {rows(len(self.faults) - MAX_SHOWN)} more", err=True)
        if self.broken:
            click.echo(f"{self.broken}; nothing after it can be read", err=True)


@dataclass(frozen=True, slots=True)
class ListWish:
    """What the operator has typed of the list."""

    file: str
    file_format: str | None
    pairs: tuple[str, ...]
    issuer: str | None
    ignored: tuple[str, ...]


def open_roster(settings: Settings, wish: ListWish) -> Roster:
    """Return the list that is wished for, or end the command with what is wrong with the wish."""
    file = wish.file
    if file != "-" and Path(file).is_dir():
        raise click.UsageError(f"{file} is a folder")
    chosen = wish.file_format or SUFFIXES.get(Path(file).suffix.lower())
    if chosen is None:
        raise click.UsageError("say what the file is with --format csv, jsonl or json")
    issuers = [table.issuer for table in settings.sessions]
    reader = roster_reader(settings, _columns(wish.pairs), wish.issuer)
    if reader is None:
        raise click.UsageError(_whose(issuers))
    try:
        stream = seekable(sys.stdin.buffer if file == "-" else Path(file).open("rb"))  # noqa: SIM115 (lives as long as the command)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from None
    click.get_current_context().call_on_close(stream.close)
    return Roster(stream, chosen, reader, issuers, wish.ignored)


def _whose(issuers: Sequence[str]) -> str:
    return f"say whose subjects they are with --issuer: one of {', '.join(issuers)}"


def rows(count: int) -> str:
    """Return so many rows in words."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def _columns(pairs: Sequence[str]) -> Columns:
    named = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not (name and equals and column):
            raise click.BadParameter(f"{pair!r} is not FIELD=COLUMN", param_hint="--map")
        named[name] = column
    try:
        return parse_columns(named)
    except RowError as error:
        raise click.BadParameter(error.reason, param_hint="--map") from None


def roster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give *command* the argument and the options that say what the list is."""
    for option in (
        click.option("--issuer", help="Whose subjects they are, where several are configured."),
        click.option(
            "--map",
            "pairs",
            multiple=True,
            metavar="FIELD=COLUMN",
            help="Where a field stands; FIELD is uid, subject, name, avatar, role, tags, "
            "metadata, metadata.NAME or deactivated.",
        ),
        click.option(
            "--ignore-column",
            "ignored",
            multiple=True,
            metavar="COLUMN",
            help="A column that says nothing, though its name looks like one that does.",
        ),
        click.option(
            "--format", "file_format", type=click.Choice(FORMATS), help="By default its suffix."
        ),
        click.argument("file"),
    ):
        command = option(command)
    return command
