"""Importing users from a file: all rows verified first, then sent, and nothing sent twice."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from tokensvc.adapters.checkpoint import Checkpoint
from tokensvc.adapters.failed_rows import FailedRows
from tokensvc.adapters.file_rows import FileRow
from tokensvc.adapters.user_files import heading_of
from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.progress import Bar
from tokensvc.cli.rosters import MAX_SHOWN, Roster, open_roster, roster_options
from tokensvc.cli.users_faults import SOME_FAILED, book_or_exit, database_option, faults_told
from tokensvc.domain.importing import Batch, Existing, Outcome, Result, UserImport
from tokensvc.domain.model import ChatUser
from tokensvc.services_users import user_import
from tokensvc.settings import Settings

BULK_PER_MINUTE: Final = 60
INVALID: Final = "invalid_row"
ADVICE: Final = "; go on with the same command and --resume"
STDIN_STEM: Final = "tokensvc-import"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator has typed."""

    file: str
    file_format: str | None
    pairs: tuple[str, ...]
    issuer: str | None
    dry_run: bool
    skip_invalid: bool
    existing: str
    resume: bool
    checkpoint: Path | None
    failed: Path | None
    bulk_per_minute: int
    without_database: bool

    def beside(self, suffix: str) -> Path:
        """Return a path beside the file, or in the current folder where there is no file."""
        path = Path(STDIN_STEM if self.file == "-" else self.file)
        return path.with_name(path.name + suffix)

    def failed_path(self, file_format: str) -> Path:
        """Return where failed rows go: beside the file, with its suffix."""
        suffix = Path(self.file).suffix or f".{file_format}"
        stem = STDIN_STEM if self.file == "-" else self.file.removesuffix(suffix)
        return self.failed or Path(f"{stem}.failed{suffix}")


@click.command("import")
@roster_options
@click.option("--dry-run", is_flag=True, help="Verify every row, and send nothing.")
@click.option("--skip-invalid", is_flag=True, help="Send the good rows though others are bad.")
@click.option(
    "--update", "existing", flag_value="update", help="Update whoever is at CometChat already."
)
@click.option("--skip-existing", "existing", flag_value="skip", help="Leave them as they are.")
@click.option("--resume", is_flag=True, help="Go on where the last import of this file ended.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="By default beside FILE.")
@click.option("--failed", type=click.Path(path_type=Path), help="By default beside FILE.")
@click.option(
    "--bulk-per-minute",
    type=click.IntRange(1, 100_000),
    default=BULK_PER_MINUTE,
    show_default=True,
    help="Bulk requests a minute, of 50 users each; CometChat allows 60.",
)
@database_option
def import_users(**options: Any) -> None:  # noqa: ANN401 (click's, each with the type in Wish)
    """Create the users of FILE at CometChat; `-` reads stdin.

    Every row is verified before anything is sent. Failed rows go into a file that
    can be imported again. Ends with 0 if all is well, 1 if rows failed, 2 for a
    mistake in the command, 75 if CometChat or the database was out of reach, 78
    if the settings cannot be used.
    """
    wish = Wish(**{**options, "existing": options["existing"] or "fail"})
    settings = settings_or_exit()
    roster = open_roster(
        settings,
        wish.file,
        file_format=wish.file_format,
        pairs=wish.pairs,
        issuer=wish.issuer,
    )
    with faults_told(advice="" if wish.dry_run else ADVICE):
        roster.verify()
        roster.tell_faults()
        if roster.broken or (roster.faults and not wish.skip_invalid):
            click.echo(f"{len(roster.faults):,} of {roster.count:,} rows are bad: nothing is sent")
            sys.exit(SOME_FAILED)
        if wish.dry_run:
            _tell_dry_run(roster)
        else:
            _run(settings, wish, roster)


def _tell_dry_run(roster: Roster) -> None:
    good = roster.count - len(roster.faults)
    click.echo(f"{good:,} of {roster.count:,} rows can be sent; nothing was")
    sys.exit(SOME_FAILED if roster.faults else 0)


def _run(settings: Settings, wish: Wish, roster: Roster) -> None:
    failed = FailedRows(
        wish.failed_path(roster.file_format),
        roster.file_format,
        heading_of(roster.stream, roster.file_format),
    )
    book = book_or_exit(settings, without_database=wish.without_database)
    checkpoint = _checkpoint(wish, roster, failed)
    for file in (checkpoint, failed):
        click.get_current_context().call_on_close(file.close)
    progress = checkpoint.progress
    bar = Bar(roster.count, sys.stderr, time.monotonic, begun_with=progress.rows)
    sender = user_import(
        settings,
        book,
        existing=Existing(wish.existing),
        per_minute=wish.bulk_per_minute,
        tell=lambda wait_s, reason: bar.say(f"waiting {wait_s:.0f} s for CometChat: {reason}"),
    )
    sender.version = version_of(roster)
    sending = Sending(roster, sender, checkpoint, failed, bar, dict(progress.counts))
    try:
        sending.run()
    finally:
        bar.end()
    failed.end(changed_at=sender.version / 1000)
    checkpoint.remove()
    sys.exit(_tell_summary(sending.counts, failed))


def _checkpoint(wish: Wish, roster: Roster, failed: FailedRows) -> Checkpoint:
    path = wish.checkpoint or wish.beside(".checkpoint")
    work = json.dumps(
        [
            *(roster.digest(), roster.file_format, wish.pairs, wish.issuer, wish.existing),
            *(wish.skip_invalid, str(failed.path)),
        ]
    )
    digest = hashlib.sha256(work.encode()).hexdigest()
    if not wish.resume:
        failed.demand_new()
        return Checkpoint.begin(path, digest)
    checkpoint = Checkpoint.resume(path, digest)
    failed.resume(checkpoint.progress.failed_bytes)
    return checkpoint


def version_of(roster: Roster) -> int:
    """Return how old the list is, in milliseconds: what was learnt since then is newer."""
    changed_at = os.fstat(roster.stream.fileno()).st_mtime
    return int(min(changed_at, time.time()) * 1000)


@dataclass(slots=True)
class Sending:
    """Takes the rows to CometChat, batch by batch, and notes what becomes of each."""

    roster: Roster
    sender: UserImport
    checkpoint: Checkpoint
    failed: FailedRows
    bar: Bar
    counts: dict[str, int]
    _shown: int = field(default=0)

    def run(self) -> None:
        """Send whatever the checkpoint does not have yet."""
        done = self.checkpoint.progress.rows
        for batch in self._batches():
            rows = len(batch)
            users = [user for _, user in batch if user]
            in_doubt = self.checkpoint.progress.in_flight > 0
            self.checkpoint.sending(rows)
            results = iter(self.sender.send(users, in_doubt=in_doubt))
            bad = [row.raw for row, user in batch if self._fails(row, user, results)]
            self.failed.write(bad)
            self.checkpoint.dealt_with(rows, self.counts, failed_bytes=self.failed.size)
            done += rows
            self.bar.move_to(done)

    def _batches(self) -> Iterator[list[tuple[FileRow, ChatUser | None]]]:
        """Yield rows for one request each; those in flight at the last end come by themselves."""
        progress = self.checkpoint.progress
        rows: list[tuple[FileRow, ChatUser | None]] = []
        batch = Batch()
        for number, (row, user) in enumerate(self.roster.entries()):
            if number < progress.rows:
                continue
            was_not_in_flight = number == progress.rows + progress.in_flight and progress.in_flight
            if rows and (was_not_in_flight or (user and not batch.takes(user))):
                yield rows
                rows, batch = [], Batch()
            rows.append((row, user))
            if user:
                batch.add(user)
        if rows:
            yield rows

    def _fails(self, row: FileRow, user: ChatUser | None, results: Iterator[Result]) -> bool:
        """Count what became of a row; return whether it failed."""
        reason = self.roster.faults.get(row.place, row.fault)
        result = next(results) if user else Result(Outcome.FAILED, INVALID)
        has_failed = result.outcome is Outcome.FAILED
        name = f"{result.outcome} {result.reason}".strip()
        self.counts[name] = self.counts.get(name, 0) + 1
        if user and has_failed:
            self._show(row.place, user.uid, result.reason)
        return has_failed and bool(reason or user)

    def _show(self, place: str, uid: str, reason: str) -> None:
        self._shown += 1
        if self._shown <= MAX_SHOWN:
            self.bar.say(f"{place}: {uid}: {reason}")


def _tell_summary(counts: dict[str, int], failed: FailedRows) -> int:
    """Say what became of the rows; return the exit code."""
    click.echo(f"{sum(counts.values()):,} rows")
    for name, count in sorted(counts.items()):
        click.echo(f"  {name:<40}{count:>9,}")
    has_failed = any(name.startswith(Outcome.FAILED) for name in counts)
    if has_failed:
        click.echo(f"the failed rows are in {failed.path}")
    return SOME_FAILED if has_failed else 0
