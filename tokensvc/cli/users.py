"""Users at CometChat: shown, let in and shut out, and the app's list brought there."""

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import click

from tokensvc.adapters.user_sheets import members_of_user
from tokensvc.cli.commands import Commands
from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.users_export import export
from tokensvc.cli.users_faults import SOME_FAILED, book_or_exit, database_option, faults_told
from tokensvc.cli.users_import import import_users
from tokensvc.cli.users_reconcile import reconcile
from tokensvc.domain.accounts import Account
from tokensvc.domain.errors import UidNotAllowedError
from tokensvc.domain.model import ChatUser, Uid
from tokensvc.domain.operating import FAILURES, UserOperator
from tokensvc.domain.ports import DirectoryUser
from tokensvc.domain.times import utc_text
from tokensvc.domain.uids import parse_uid
from tokensvc.services_users import users_directory

NOT_LIVE: Final = "not live at CometChat: there is no such user, or it is deactivated"

MAX_NAMED: Final = 5


class UidType(click.ParamType[Uid]):
    """A uid, letter for letter: nothing is folded, so that nobody else is meant."""

    name = "uid"

    def convert(
        self,
        value: Any,  # noqa: ANN401 (click's)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Uid:
        """Return the uid, or refuse the command."""
        try:
            return parse_uid(str(value))
        except UidNotAllowedError:
            self.fail("a uid is 1 to 100 of a-z, 0-9, _ and -", param, ctx)


UIDS: Final = click.argument("uids", metavar="UID...", type=UidType(), nargs=-1, required=True)


@click.group(cls=Commands)
def users() -> None:
    """Import, export, compare and look after the users at CometChat."""


users.add_command(export)
users.add_command(import_users)
users.add_command(reconcile)


@users.command()
@click.argument("uid", type=UidType())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@database_option
def show(uid: Uid, *, as_json: bool, without_database: bool) -> None:
    """Tell what CometChat has of a user, and what the app has said of them.

    Ends with 1 if the user is not live at CometChat.
    """
    settings = settings_or_exit()
    book = book_or_exit(settings, without_database=without_database)
    with faults_told(settings):
        found = users_directory(settings).find_user(uid)
        account = book.find(uid) if book else None
    if as_json:
        click.echo(json.dumps({"uid": uid, "live": _live(found), "account": _known(account)}))
    else:
        click.echo(f"{uid}: {'live at CometChat' if found else NOT_LIVE}")
        for name, value in {**(_live(found) or {}), **_spoken(account)}.items():
            click.echo(f"  {name:<18}{json.dumps(value, ensure_ascii=True)}")
    sys.exit(0 if found else SOME_FAILED)


def _live(found: ChatUser | None) -> dict[str, object] | None:
    return members_of_user(DirectoryUser(found, is_deactivated=False)) if found else None


def _spoken(account: Account | None) -> dict[str, object]:
    """Return what is known of the user, with the times as people read them."""
    if account is None:
        return {}
    spoken: dict[str, object] = {"account": account.state.value}
    if account.profile_version >= 0:
        spoken["profile_version"] = utc_text(account.profile_version / 1000)
    if account.delete_at is not None:
        spoken["delete_at"] = utc_text(account.delete_at)
    return spoken


def _known(account: Account | None) -> dict[str, object] | None:
    if account is None:
        return None
    due = {} if account.delete_at is None else {"delete_at": account.delete_at}
    return {"account": account.state.value, "profile_version": account.profile_version, **due}


@users.command()
@UIDS
@database_option
def deactivate(uids: tuple[Uid, ...], *, without_database: bool) -> None:
    """Shut users out: all their tokens are made invalid."""
    _for_each(uids, UserOperator.deactivate, without_database=without_database)


@users.command()
@UIDS
@database_option
def restore(uids: tuple[Uid, ...], *, without_database: bool) -> None:
    """Let deactivated users in again, or those who were deleted a short while ago."""
    _for_each(uids, UserOperator.restore, without_database=without_database)


@users.command()
@UIDS
@click.option("--permanent", is_flag=True, help="For ever, with all messages, at once.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@database_option
def delete(uids: tuple[Uid, ...], *, permanent: bool, yes: bool, without_database: bool) -> None:
    """Delete users: shut them out now, and for ever when `lifecycle.delete_after` has passed.

    Without the database nobody remembers to delete them for ever.
    """
    if permanent and not yes:
        _demand_assent(uids)
    act = UserOperator.delete_for_ever if permanent else UserOperator.delete
    _for_each(uids, act, without_database=without_database)


def _demand_assent(uids: tuple[Uid, ...]) -> None:
    """End the command unless somebody is there, and means it."""
    names = ", ".join(uids[:MAX_NAMED])
    rest = len(uids) - MAX_NAMED
    who = f"{names} and {rest:,} more" if rest > 0 else names
    try:
        click.confirm(f"Delete {who} for ever, with all messages?", abort=True)
    except click.Abort as abort:
        if not isinstance(abort.__context__, EOFError):
            raise
        raise click.UsageError(f"nobody is there to be asked: to delete {who}, say --yes") from None


def _for_each(
    uids: tuple[Uid, ...],
    act: Callable[[UserOperator, Uid], str],
    *,
    without_database: bool,
) -> None:
    settings = settings_or_exit()
    book = book_or_exit(settings, without_database=without_database)
    operator = UserOperator(users_directory(settings), book)
    has_failed = False
    with faults_told(settings):
        for uid in dict.fromkeys(uids):
            outcome = act(operator, uid)
            has_failed |= outcome in FAILURES
            click.echo(f"{uid}: {outcome}")
    sys.exit(SOME_FAILED if has_failed else 0)
