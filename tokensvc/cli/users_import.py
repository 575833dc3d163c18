"""Importing users from a file: all rows verified first, then sent, and nothing sent twice."""

import hashlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from tokensvc.adapters.checkpoint import Checkpoint, CheckpointError
from tokensvc.adapters.failed_rows import FailedRows
from tokensvc.adapters.user_files import heading_of
from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.progress import Bar
from tokensvc.cli.rosters import ListWish, Roster, open_roster, roster_options, rows
from tokensvc.cli.users_faults import SOME_FAILED, book_or_exit, database_option, faults_told
from tokensvc.cli.users_sending import Sending, tell_summary
from tokensvc.domain.importing import Existing
from tokensvc.services_users import user_import
from tokensvc.settings import Settings

BULK_PER_MINUTE: Final = 60
ADVICE: Final = "; go on with the same command and --resume"
STDIN_STEM: Final = "tokensvc-import"


@dataclass(frozen=True, slots=True)
class Wish(ListWish):
    """What the operator has typed."""

    dry_run: bool
    skip_invalid: bool
    update: bool
    skip_existing: bool
    resume: bool
    checkpoint: Path | None
    failed: Path | None
    bulk_per_minute: int
    without_database: bool

    def checkpoint_path(self) -> Path:
        """Return where the checkpoint is: beside the file, or in the current folder for stdin."""
        path = Path(STDIN_STEM if self.file == "-" else self.file)
        return self.checkpoint or path.with_name(f"{path.name}.checkpoint")

    @property
    def existing(self) -> Existing:
        """What is done about whoever is at CometChat already."""
        if self.update:
            return Existing.UPDATE
        return Existing.SKIP if self.skip_existing else Existing.FAIL

    def failed_path(self, file_format: str) -> Path:
        """Return where failed rows go: beside the file, with its suffix."""
        suffix = Path(self.file).suffix or f".{file_format}"
        stem = STDIN_STEM if self.file == "-" else self.file.removesuffix(suffix)
        return self.failed or Path(f"{stem}.failed{suffix}")


@click.command("import")
@roster_options
@click.option("--dry-run", is_flag=True, help="Verify every row, and send nothing.")
@click.option("--skip-invalid", is_flag=True, help="Send the good rows though others are bad.")
@click.option("--update", is_flag=True, help="Update whoever is at CometChat already.")
@click.option("--skip-existing", is_flag=True, help="Leave them as they are.")
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
    wish = Wish(**options)
    if wish.update and wish.skip_existing:
        raise click.UsageError("--update or --skip-existing, not both")
    settings = settings_or_exit()
    roster = open_roster(settings, wish)
    with faults_told(settings, advice="" if wish.dry_run else ADVICE):
        roster.verify()
        roster.tell_faults()
        if roster.broken or (roster.faults and not wish.skip_invalid):
            bad = len(roster.faults)
            verb = "is" if bad == 1 else "are"
            click.echo(f"{bad:,} of {rows(roster.count)} {verb} bad: nothing is sent")
            sys.exit(SOME_FAILED)
        if wish.dry_run:
            _tell_dry_run(roster)
        else:
            _run(settings, wish, roster)


def _tell_dry_run(roster: Roster) -> None:
    good = roster.count - len(roster.faults) - roster.deactivated
    if roster.deactivated:
        click.echo(f"{rows(roster.deactivated)} of deactivated users: skipped")
    click.echo(f"{good:,} of {rows(roster.count)} can be sent; nothing was")
    sys.exit(SOME_FAILED if roster.faults else 0)


def _run(settings: Settings, wish: Wish, roster: Roster) -> None:
    failed = FailedRows(
        wish.failed_path(roster.file_format),
        roster.file_format,
        heading_of(roster.stream, roster.file_format),
    )
    _demand_three_files(wish, failed)
    book = book_or_exit(settings, without_database=wish.without_database)
    checkpoint = _checkpoint(wish, roster, failed)
    for file in (checkpoint, failed):
        click.get_current_context().call_on_close(file.close)
    progress = checkpoint.progress
    bar = Bar(roster.count, sys.stderr, time.monotonic, begun_with=progress.rows)
    sender = user_import(
        settings,
        book,
        existing=wish.existing,
        per_minute=wish.bulk_per_minute,
        tell=lambda wait_s, reason: bar.say(f"waiting {wait_s:.0f} s for CometChat: {reason}"),
    )
    sender.version = version_of(roster)
    sender.unsaid = roster.unsaid
    sending = Sending(roster, sender, checkpoint, failed, bar, dict(progress.counts))
    try:
        sending.run()
    finally:
        bar.end()
    failed.end(changed_at=sender.version / 1000)
    checkpoint.remove()
    sys.exit(tell_summary(sending.counts, failed))


def _demand_three_files(wish: Wish, failed: FailedRows) -> None:
    """End the command if a file would be written over another, and be gone with it."""
    paths = [failed.path, wish.checkpoint_path()]
    if wish.file != "-":
        paths.append(Path(wish.file))
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise click.UsageError("FILE, --checkpoint and --failed must be different files")


def _checkpoint(wish: Wish, roster: Roster, failed: FailedRows) -> Checkpoint:
    path = wish.checkpoint_path()
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
    if checkpoint.progress.rows + checkpoint.progress.in_flight > roster.count:
        raise CheckpointError(f"{path} tells of more rows than there are")
    failed.resume(checkpoint.progress.failed_bytes)
    return checkpoint


def version_of(roster: Roster) -> int:
    """Return how old the list is, in milliseconds: what was learnt since then is newer."""
    changed_at = os.fstat(roster.stream.fileno()).st_mtime
    return int(min(changed_at, time.time()) * 1000)
