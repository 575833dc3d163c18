"""Comparing the app's list with CometChat, and making CometChat equal to it if that is wished."""

import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from tokensvc.cli.loading import settings_or_exit
from tokensvc.cli.progress import Bar
from tokensvc.cli.rosters import ListWish, Roster, open_roster, roster_options
from tokensvc.cli.users_faults import SOME_FAILED, book_or_exit, database_option, faults_told
from tokensvc.cli.users_import import BULK_PER_MINUTE, version_of
from tokensvc.domain.importing import Batch, Existing, Outcome, Result
from tokensvc.domain.mending import Mending
from tokensvc.domain.model import ChatUser, Uid
from tokensvc.domain.reconciling import Drift, Finding, Reconciliation
from tokensvc.services_users import prefixes_of, user_import
from tokensvc.settings import Settings

MOST_ENDED: Final = 0.1
"""The share of live users that is deactivated without being asked: more may be a wrong list."""
MENDED: Final = frozenset({Outcome.CREATED, Outcome.UPDATED, Outcome.DEACTIVATED})


@dataclass(frozen=True, slots=True)
class Wish(ListWish):
    """What the operator has typed."""

    apply: bool
    deactivate_extra: bool
    yes: bool
    as_json: bool
    without_database: bool

    @property
    def ended(self) -> Collection[Drift]:
        """Who is shut out, if the list is applied."""
        return {Drift.LIVE, Drift.EXTRA} if self.deactivate_extra else {Drift.LIVE}


@click.command()
@roster_options
@click.option("--apply", is_flag=True, help="Create, update, let in and shut out as the list says.")
@click.option("--deactivate-extra", is_flag=True, help="And shut out who is not on it.")
@click.option("--yes", is_flag=True, help="Shut out even more than a tenth of all users.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per user.")
@database_option
def reconcile(**options: Any) -> None:  # noqa: ANN401 (click's, each with the type in Wish)
    """Tell where FILE, the list of all users, and CometChat differ; `-` reads stdin.

    missing: on the list alone. extra: at CometChat alone, with a uid that a login of
    the issuer could have. different: with another profile. deactivated: on the list,
    and shut out at CometChat. live: deactivated by the list, and live at CometChat.
    Ends with 0 if nothing differs (any more), and with 1 if something does.
    """
    wish = Wish(**options)
    if wish.deactivate_extra and not wish.apply:
        raise click.UsageError("--deactivate-extra goes with --apply")
    settings = settings_or_exit()
    roster = open_roster(settings, wish)
    with faults_told(settings, advice="; the same command goes on"):
        roster.verify()
        roster.tell_faults()
        if roster.broken or roster.faults:
            # Whoever has a bad row would count as extra.
            click.echo("nothing is compared with a list that has bad rows", err=True)
            sys.exit(SOME_FAILED)
        sys.exit(_run(settings, wish, roster))


def _run(settings: Settings, wish: Wish, roster: Roster) -> int:
    book = book_or_exit(settings, without_database=wish.without_database)
    bar = Bar(0, sys.stderr, time.monotonic)
    sender = user_import(
        settings,
        book,
        existing=Existing.UPDATE,
        per_minute=BULK_PER_MINUTE,
        tell=lambda wait_s, reason: bar.say(f"waiting {wait_s:.0f} s for CometChat: {reason}"),
    )
    sender.version = version_of(roster)
    sender.unsaid = roster.unsaid
    reconciliation = Reconciliation(roster.unsaid, prefixes_of(settings, wish.issuer))
    for row, user in roster.entries():
        if user and roster.reader.is_deactivated(row.fields):
            reconciliation.expect_nobody(user.uid)
        elif user:
            reconciliation.expect(sender.provisioning.complete(user))
    findings = {
        finding.uid: finding for finding in reconciliation.compare(sender.directory.list_users())
    }
    if not wish.apply:
        return _tell(findings, wish, {})
    _demand_plausible(findings, reconciliation, wish)
    bar.total = len(findings)
    results = {}
    for uid, result in _mended(roster, findings, Mending(sender), wish):
        results[uid] = result
        bar.move_to(len(results))
    bar.end()
    return _tell(findings, wish, results)


def _demand_plausible(
    findings: dict[Uid, Finding], reconciliation: Reconciliation, wish: Wish
) -> None:
    ended = sum(finding.drift in wish.ended for finding in findings.values())
    if wish.deactivate_extra and not reconciliation.wanted:
        raise click.UsageError("the list is empty: nobody is deactivated because of it")
    if ended > MOST_ENDED * reconciliation.live_count and not wish.yes:
        raise click.UsageError(
            f"{ended:,} of {reconciliation.live_count:,} users would be deactivated: is this "
            "the list of all users? If so, say --yes"
        )


def _mended(
    roster: Roster, findings: dict[Uid, Finding], mending: Mending, wish: Wish
) -> Iterator[tuple[Uid, Result]]:
    missing = Batch()
    for _, user in roster.entries():
        finding = findings.get(user.uid) if user else None
        if user is None or finding is None or finding.drift in wish.ended:
            continue
        if finding.drift is not Drift.MISSING:
            yield user.uid, mending.mend(finding.drift, user)
            continue
        if not missing.takes(user):
            yield from _created(missing.users, mending)
            missing = Batch()
        missing.add(user)
    yield from _created(missing.users, mending)
    for uid, finding in findings.items():
        if finding.drift in wish.ended:
            yield uid, mending.deactivate(uid)


def _created(users: Sequence[ChatUser], mending: Mending) -> Iterator[tuple[Uid, Result]]:
    results = mending.sender.send(users)
    return zip((user.uid for user in users), results, strict=True)


def _tell(findings: dict[Uid, Finding], wish: Wish, results: dict[Uid, Result]) -> int:
    """Print who differs, or differed; return the exit code."""
    for uid, finding in findings.items():
        click.echo(_line(finding, results.get(uid), as_json=wish.as_json))
    remaining = [
        uid for uid in findings if uid not in results or results[uid].outcome not in MENDED
    ]
    if not wish.as_json:
        counts = ", ".join(
            f"{sum(finding.drift is drift for finding in findings.values()):,} {drift}"
            for drift in Drift
        )
        click.echo(f"{counts}; {len(findings) - len(remaining):,} mended")
    return SOME_FAILED if remaining else 0


def _line(finding: Finding, result: Result | None, *, as_json: bool) -> str:
    outcome = f"{result.outcome} {result.reason}".strip() if result else ""
    if as_json:
        members = {"uid": finding.uid, "drift": finding.drift, "fields": finding.fields}
        return json.dumps({**members, **({"outcome": outcome} if outcome else {})})
    fields = f" ({', '.join(finding.fields)})" if finding.fields else ""
    return f"{finding.drift:<12} {finding.uid}{fields}{': ' if outcome else ''}{outcome}"
