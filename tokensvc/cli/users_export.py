"""Exporting all users, as a list that can be imported and compared again."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from tokensvc.adapters.user_sheets import SHEETS, UserSheet
from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.users_faults import faults_told
from tokensvc.services_users import users_directory


@click.command()
@click.option("--format", "file_format", type=click.Choice(SHEETS), default="csv")
@click.option("--with-deactivated", is_flag=True, help="The deactivated ones too, marked.")
@click.option("--output", default="-", metavar="FILE", help="By default stdout.")
def export(file_format: str, output: str, *, with_deactivated: bool) -> None:
    """Write all users as a list that `users import` and `users reconcile` read.

    A cell of CSV that a spreadsheet would take for a formula (it begins with =, +,
    - or @) has an apostrophe before it, which the import takes off again.
    """
    settings = settings_or_exit()
    with faults_told(), _written_to(output) as stream:
        sheet = UserSheet(stream, file_format)
        for entry in users_directory(settings).list_users():
            if with_deactivated or not entry.is_deactivated:
                sheet.add(entry)


@contextmanager
def _written_to(output: str) -> Iterator[TextIO]:
    """Open stdout, or a file that takes the last one's place only once it is whole."""
    if output == "-":
        # Lists are UTF-8, whatever the terminal is.
        stream = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        yield stream
        stream.detach()
        return
    draft = Path(f"{output}.part")
    try:
        # What users look like is for nobody else on this machine.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise click.UsageError(f"{draft} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
        draft.replace(output)
    finally:
        draft.unlink(missing_ok=True)
