"""Sending an import: batch by batch to CometChat, and what became of each row."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import click

from tokensvc.adapters.checkpoint import Checkpoint
from tokensvc.adapters.failed_rows import FailedRows
from tokensvc.adapters.file_rows import FileRow
from tokensvc.cli.progress import Bar
from tokensvc.cli.rosters import MAX_SHOWN, Roster, rows
from tokensvc.cli.users_faults import SOME_FAILED
from tokensvc.domain.account_book import NEWER_KNOWN
from tokensvc.domain.importing import EXISTS, Batch, Outcome, Result, UserImport
from tokensvc.domain.model import ChatUser

INVALID: Final = "invalid_row"
LEFT_OUT: Final = Result(Outcome.SKIPPED, "deactivated")
ARE_THERE: Final = (
    f"{EXISTS}: they are at CometChat already; say --update or --skip-existing for them"
)
OLDER_THAN_KNOWN: Final = (
    f"{NEWER_KNOWN}: what is known of them is newer than the file, whose time decides; if the "
    "file is right all the same, touch it and import it again"
)


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
        for number, (row, user) in enumerate(self._entries()):
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

    def _entries(self) -> Iterator[tuple[FileRow, ChatUser | None]]:
        """Yield the rows with the users who are to be sent, none of whom is deactivated."""
        for row, user in self.roster.entries():
            yield row, None if self.roster.reader.is_deactivated(row.fields) else user

    def _fails(self, row: FileRow, user: ChatUser | None, results: Iterator[Result]) -> bool:
        """Count what became of a row; return whether it failed."""
        reason = self.roster.faults.get(row.place, row.fault)
        unsent = Result(Outcome.FAILED, INVALID) if reason else LEFT_OUT
        result = next(results) if user else unsent
        has_failed = result.outcome is Outcome.FAILED
        name = f"{result.outcome} {result.reason}".strip()
        self.counts[name] = self.counts.get(name, 0) + 1
        if user and has_failed:
            self._show(row.place, user.uid, result.reason)
        return has_failed

    def _show(self, place: str, uid: str, reason: str) -> None:
        self._shown += 1
        if self._shown <= MAX_SHOWN:
            self.bar.say(f"{place}: {uid}: {reason}")


def tell_summary(counts: dict[str, int], failed: FailedRows) -> int:
    """Say what became of the rows; return the exit code."""
    click.echo(rows(sum(counts.values())))
    for name, count in sorted(counts.items()):
        click.echo(f"  {name:<40}{count:>9,}")
    if f"{Outcome.FAILED} {EXISTS}" in counts:
        click.echo(ARE_THERE)
    if f"{Outcome.SKIPPED} {NEWER_KNOWN}" in counts:
        click.echo(OLDER_THAN_KNOWN)
    has_failed = any(name.startswith(Outcome.FAILED) for name in counts)
    if has_failed:
        click.echo(f"the failed rows are in {failed.path}")
    return SOME_FAILED if has_failed else 0
