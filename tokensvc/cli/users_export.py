"""Exporting all users, as a list that can be imported and compared again."""

import io
import os
import sys
import tempfile
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
    with faults_told(settings), _written_to(output) as stream:
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
    try:
        opened = _opened_as_it_is(output) or _draft(output)
    except OSError as error:
        raise click.UsageError(f"{output} cannot be written: {error.strerror}") from None
    descriptor, draft = opened
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
        if draft:
            draft.replace(os.path.realpath(output))
    finally:
        if draft:
            draft.unlink(missing_ok=True)


def _opened_as_it_is(output: str) -> tuple[int, None] | None:
    """Open what is no file: a pipe or a device is written to, and stays what it is."""
    path = Path(output)
    if not path.exists() or path.is_file():
        return None
    return os.open(path, os.O_WRONLY), None


def _draft(output: str) -> tuple[int, Path]:
    """Open a new file beside *output*; users' looks are for nobody else on this machine."""
    folder, name = os.path.split(os.path.realpath(output))
    descriptor, draft = tempfile.mkstemp(prefix=f"{name}.", suffix=".part", dir=folder)
    return descriptor, Path(draft)
