"""The inbox, looked into and repaired: what waits, what was put aside, and what becomes of it."""

import json
import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

import click

from tokensvc.cli.commands import Commands
from tokensvc.cli.loading import demand_database, settings_or_exit
from tokensvc.domain.errors import StorageUnavailableError
from tokensvc.domain.ports import BuriedEvent, Inbox, RetriedEvent
from tokensvc.domain.times import utc_text
from tokensvc.services_storage import storage_of

P = ParamSpec("P")
E = TypeVar("E", BuriedEvent, RetriedEvent)
E_co = TypeVar("E_co", BuriedEvent, RetriedEvent, covariant=True)

NOT_FOUND: Final = 1
STORAGE_AWAY: Final = 75
"""EX_TEMPFAIL of sysexits.h."""
PAGE: Final = 100
NUMBER: Final = click.IntRange(1, 2**63 - 1)
"""What a database can number."""
USER: Final = 1
"""The column of the uids, which may be as long as all others together."""
SHORTEST_USER: Final = 12


class Listing(Protocol[E_co]):
    """One of the inbox's lists, page by page."""

    def __call__(self, *, after_number: int, limit: int) -> Sequence[E_co]:
        """Return the next page."""


@click.group(cls=Commands)
def sync() -> None:
    """Look into the inbox, and repair what could not be applied."""


def with_inbox(view: Callable[Concatenate[Inbox, P], None]) -> Callable[P, None]:
    """Hand a command the inbox: the caller's own, or that of the settings."""

    @click.pass_obj
    @wraps(view)
    def opened(given: Inbox | None, /, *args: P.args, **kwargs: P.kwargs) -> None:
        view(given or _inbox_of_settings(), *args, **kwargs)

    return opened


def _inbox_of_settings() -> Inbox:
    settings = settings_or_exit()
    with _storage_faults_told():
        demand_database(settings)
    return storage_of(settings).inbox


@sync.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_inbox
def status(inbox: Inbox, *, as_json: bool) -> None:
    """Tell how much waits, is under way, is tried again, was put aside, and was done."""
    with _storage_faults_told():
        found = inbox.status()
    oldest_at = found.oldest_waiting_at
    counts = {
        "waiting": found.waiting,
        "leased": found.leased,
        "retrying": found.retrying,
        "buried": found.buried,
        "done": found.done,
    }
    if as_json:
        oldest_s = None if oldest_at is None else round(max(0.0, time.time() - oldest_at), 3)
        click.echo(json.dumps({**counts, "oldest_waiting_s": oldest_s}))
        return
    for name, count in counts.items():
        click.echo(f"{name:<10}{count:>8}")
    if oldest_at is not None:
        click.echo(f"the oldest that is not done came {how_long(time.time() - oldest_at)} ago")


@sync.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@with_inbox
def dead(inbox: Inbox, *, as_json: bool) -> None:
    """List what was put aside because it could not be applied.

    In a narrow terminal long uids are shortened; --json has them whole.
    """
    with _storage_faults_told():
        if as_json:
            for event in _all(inbox.buried):
                click.echo(json.dumps({**_members(event), "buried_at": utc_text(event.buried_at)}))
            return
        rows = [(*_cells(event), utc_text(event.buried_at)) for event in _all(inbox.buried)]
    _print_table("PUT ASIDE", rows, "Nothing was put aside.")


@sync.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@with_inbox
def retrying(inbox: Inbox, *, as_json: bool) -> None:
    """List what could not be applied yet, why, and when it is tried again."""
    with _storage_faults_told():
        found = [*_all(inbox.retrying)]
    if as_json:
        for event in found:
            click.echo(json.dumps({**_members(event), "next_try_at": utc_text(event.next_try_at)}))
        return
    rows = [(*_cells(event), utc_text(event.next_try_at)) for event in found]
    _print_table("NEXT TRY", rows, "Nothing is tried again.")


@sync.command()
@click.argument("number", type=NUMBER, required=False)
@click.option("--all", "is_all", is_flag=True, help="All that were put aside.")
@with_inbox
def replay(inbox: Inbox, number: int | None, *, is_all: bool) -> None:
    """Have an event that was put aside tried again; what is newer by now stays as it is."""
    if is_all == (number is not None):
        raise click.UsageError("say a NUMBER (from `tokensvc sync dead`) or --all")
    if number is not None:
        _demand_found(lambda: inbox.replay(number), number)
        click.echo(f"{number} is tried again.")
        return
    with _storage_faults_told():
        count = sum(inbox.replay(event.number) for event in [*_all(inbox.buried)])
    click.echo(f"{count} tried again.")


@sync.command()
@click.argument("number", type=NUMBER)
@with_inbox
def drop(inbox: Inbox, number: int) -> None:
    """Forget an event that was put aside, for ever."""
    _demand_found(lambda: inbox.drop(number), number)
    click.echo(f"{number} is forgotten.")


@contextmanager
def _storage_faults_told() -> Iterator[None]:
    try:
        yield
    except StorageUnavailableError as error:
        click.echo(f"the database cannot be asked: {error.reason}", err=True)
        sys.exit(STORAGE_AWAY)


def _demand_found(act: Callable[[], bool], number: int) -> None:
    with _storage_faults_told():
        is_found = act()
    if not is_found:
        click.echo(f"{number} was not put aside; see `tokensvc sync dead`", err=True)
        sys.exit(NOT_FOUND)


def _all(listing: Listing[E]) -> Iterator[E]:
    """Walk through all that are in the list when their page is read."""
    after_number = 0
    while page := listing(after_number=after_number, limit=PAGE):
        yield from page
        after_number = page[-1].number


def _members(event: BuriedEvent | RetriedEvent) -> dict[str, object]:
    return {
        "number": event.number,
        "uid": event.event.uid,
        "kind": event.event.kind.value,
        "source": event.event.source,
        "event_id": event.event.event_id,
        "version": event.event.version,
        "reason": event.reason,
        "attempts": event.attempts,
        "received_at": utc_text(event.received_at),
    }


def _cells(event: BuriedEvent | RetriedEvent) -> tuple[str, ...]:
    number, fact, tries = str(event.number), event.event, str(event.attempts)
    return (number, fact.uid, fact.kind.value, fact.source, event.reason, tries)


def _print_table(last: str, rows: Sequence[Sequence[str]], nothing: str) -> None:
    if not rows:
        click.echo(nothing)
        return
    heading = ("NUMBER", "USER", "FACT", "SOURCE", "REASON", "TRIES", last)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table([heading, *rows], width):
        click.echo(line)


def table(rows: Sequence[Sequence[str]], width: int | None = None) -> Iterator[str]:
    """Yield *rows* in columns; where they are wider than *width*, with shortened uids."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    excess = sum(widths) + 2 * (len(widths) - 1) - (width or math.inf)
    if excess > 0:
        widths[USER] = min(widths[USER], max(SHORTEST_USER, widths[USER] - int(excess)))
    for row in rows:
        cells = [
            (cell if len(cell) <= space else f"{cell[: space - 3]}...").ljust(space)
            for cell, space in zip(row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def how_long(seconds: float) -> str:
    """Return how long that is, in the largest unit that says something."""
    for name, length_s in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {name}"
    count = round(max(0.0, seconds))
    return f"{count} second{'s' * (count != 1)}"
