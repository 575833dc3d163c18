"""What can end a command about users: a sentence for the operator, and an exit code for scripts."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import click

from tokensvc.adapters.checkpoint import CheckpointError
from tokensvc.adapters.cometchat import KEY_REFUSALS
from tokensvc.adapters.failed_rows import FailedRowsError
from tokensvc.adapters.file_rows import UserFileError
from tokensvc.cli.loading import BAD_CONFIGURATION, demand_database
from tokensvc.domain.account_book import AccountBook
from tokensvc.domain.errors import (
    AccountChangedError,
    DirectoryMisconfiguredError,
    DirectoryUnavailableError,
    StorageUnavailableError,
)
from tokensvc.services_storage import storage_of
from tokensvc.services_users import account_book
from tokensvc.settings import Settings

APP_REFUSALS: Final = frozenset({"AUTH_ERR_EMPTY_APPID", "AUTH_ERR_INVALID_APPID"})
SOME_FAILED: Final = 1
USAGE: Final = 2
AWAY: Final = 75
"""EX_TEMPFAIL of sysexits.h: the same command may succeed later."""
INTERRUPTED: Final = 130


@contextmanager
def faults_told(settings: Settings, *, advice: str = "") -> Iterator[None]:
    """Turn what ends a command into a sentence and an exit code; *advice* says how to go on."""
    try:
        yield
    except (CheckpointError, FailedRowsError) as error:
        _end(str(error), USAGE)
    except UserFileError as error:
        _end(f"{error}: the file was changed{advice}", SOME_FAILED)
    except DirectoryUnavailableError as error:
        reason = f"{error.reason} ({_place(settings)})"
        _end(f"CometChat is busy or out of reach: {reason}{advice}", AWAY)
    except DirectoryMisconfiguredError as error:
        reason = f"{error.reason} ({_refused(settings, error.reason)}{_place(settings)})"
        _end(f"CometChat refuses what is configured: {reason}{advice}", BAD_CONFIGURATION)
    except StorageUnavailableError as error:
        _end(f"the database cannot be asked: {error.reason}{advice}", AWAY)
    except AccountChangedError:
        _end(f"somebody else keeps writing the same account{advice}", AWAY)
    except BrokenPipeError:
        raise
    except OSError as error:
        _end(f"a file cannot be read or written: {error.strerror}{advice}", USAGE)
    except KeyboardInterrupt:
        _end(f"stopped{advice}", INTERRUPTED)


def _refused(settings: Settings, reason: str) -> str:
    """Return the setting that a refusal is about, if that is known."""
    if reason in KEY_REFUSALS:
        has_file = settings.cometchat.api_key_file is not None
        return "cometchat.api_key_file; " if has_file else "cometchat.api_key; "
    return "cometchat.app_id; " if reason in APP_REFUSALS else ""


def _place(settings: Settings) -> str:
    """Return where CometChat was asked, and what says so."""
    cometchat = settings.cometchat
    name = "base_url" if cometchat.base_url else "region"
    return f"cometchat.{name}: {cometchat.rest_url}"


def _end(sentence: str, exit_code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(exit_code)


def database_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let *command* do without the database, if it is told to."""
    return click.option(
        "--without-database",
        is_flag=True,
        help="Ask nobody who was deleted or suspended, and write nothing down.",
    )(command)


def book_or_exit(settings: Settings, *, without_database: bool) -> AccountBook | None:
    """Return where to write down what is done, or end the command if it cannot be used."""
    if without_database:
        return None
    with faults_told(settings):
        demand_database(settings)
    storage = storage_of(settings)
    click.get_current_context().call_on_close(storage.database.close)
    return account_book(settings, storage)
