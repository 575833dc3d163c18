"""`tokensvc sync`: tables for people, JSON for programs, and what the exit code says."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.builders import an_environment, an_event, settings
from tests.fakes_sync import Clock, FakeInbox
from tokensvc.cli.sync import how_long, sync, table
from tokensvc.services_storage import storage_of


@pytest.fixture
def inbox() -> FakeInbox:
    """Return an inbox in which one waits, one is put off, and two were put aside."""
    inbox = FakeInbox(Clock())
    for number, uid in enumerate(("alice", "bob", "carol"), start=1):
        inbox.put([an_event(str(number), uid)], body_hash=b"")
        claim = inbox.claim(lease_s=60)
        assert claim is not None
        if uid == "carol":
            inbox.retry(claim, after_s=900, reason="timeout")
        else:
            inbox.bury(claim, reason="ERR_BAD_REQUEST")
    inbox.put([an_event("4", "dora")], body_hash=b"")
    return inbox


def run(inbox: FakeInbox, *arguments: str) -> Result:
    return CliRunner().invoke(sync, arguments, obj=inbox)


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_status(inbox: FakeInbox) -> None:
    """How much is where, and since when the oldest waits."""
    shown = run(inbox, "status").stdout.splitlines()

    assert [line.split() for line in shown[:5]] == [
        ["waiting", "1"],
        ["leased", "0"],
        ["retrying", "1"],
        ["buried", "2"],
        ["done", "0"],
    ]
    assert shown[5].startswith("the oldest that is not done came ")


def test_status_of_an_empty_inbox() -> None:
    """Where nothing waits no oldest one is told."""
    assert len(run(FakeInbox(), "status").stdout.splitlines()) == 5


def test_status_as_json(inbox: FakeInbox) -> None:
    """The same for a program."""
    (shown,) = lines(run(inbox, "status", "--json"))

    counts = {"waiting": 1, "leased": 0, "retrying": 1, "buried": 2, "done": 0}
    assert {name: shown[name] for name in counts} == counts
    assert shown["oldest_waiting_s"] >= 0


def test_dead(inbox: FakeInbox) -> None:
    """Each dead letter is one line, under a heading, in columns."""
    heading, first, second = run(inbox, "dead").stdout.splitlines()

    assert heading.split() == [
        "NUMBER",
        "USER",
        "FACT",
        "SOURCE",
        "REASON",
        "TRIES",
        "PUT",
        "ASIDE",
    ]
    assert first.split()[:6] == ["1", "alice", "updated", "app", "ERR_BAD_REQUEST", "1"]
    assert second.split()[:2] == ["2", "bob"]
    assert first.index("alice") == second.index("bob") == heading.index("USER")


def test_rows_are_no_wider_than_the_terminal() -> None:
    """A long uid is shortened so far, the columns stay, and without a terminal it is whole."""
    uid = "u" * 62
    rows = [("NUMBER", "USER", "PUT ASIDE"), ("1", uid, "2027-01-15"), ("2", "bob", "2027-01-16")]

    heading, first, second = table(rows, 60)

    assert len(first) == 60
    assert first.split()[1] == f"{'u' * 37}..."
    assert first.index("2027") == second.index("2027") == heading.index("PUT")
    assert uid in [*table(rows)][1]
    assert [*table(rows, 200)] == [*table(rows)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0 seconds"),
        (0.9, "1 second"),
        (1.6, "2 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7200, "2 hours"),
        (172800, "2 days"),
    ],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    """The largest unit that says something, and one second is no seconds."""
    assert how_long(seconds) == words


def test_no_dead() -> None:
    """Where nothing was put aside it says so; a program gets no line."""
    assert run(FakeInbox(), "dead").stdout == "Nothing was put aside.\n"
    assert run(FakeInbox(), "dead", "--json").stdout == ""


def test_dead_as_json(inbox: FakeInbox) -> None:
    """The same for a program, without what the user looks like."""
    first, second = lines(run(inbox, "dead", "--json"))

    assert (first["number"], first["uid"], first["reason"]) == (1, "alice", "ERR_BAD_REQUEST")
    assert first["buried_at"] == "2027-01-15T08:00:00Z"
    assert second["event_id"] == "2"
    assert "profile" not in first


def test_retrying(inbox: FakeInbox) -> None:
    """What is tried again is listed with the reason, and when that is."""
    heading, line = run(inbox, "retrying").stdout.splitlines()

    assert heading.split()[-2:] == ["NEXT", "TRY"]
    assert line.split() == ["3", "carol", "updated", "app", "timeout", "1", "2027-01-15T08:15:00Z"]


def test_nothing_is_tried_again() -> None:
    """Where nothing waits for another try it says so; a program gets no line."""
    assert run(FakeInbox(), "retrying").stdout == "Nothing is tried again.\n"
    assert run(FakeInbox(), "retrying", "--json").stdout == ""


def test_retrying_as_json(inbox: FakeInbox) -> None:
    """The same for a program, without what the user looks like."""
    (shown,) = lines(run(inbox, "retrying", "--json"))

    assert (shown["number"], shown["uid"], shown["reason"]) == (3, "carol", "timeout")
    assert shown["next_try_at"] == "2027-01-15T08:15:00Z"
    assert "profile" not in shown


def test_replay(inbox: FakeInbox) -> None:
    """One event is due again, and the other stays where it is."""
    result = run(inbox, "replay", "2")

    assert (result.exit_code, result.stdout) == (0, "2 is tried again.\n")
    assert [entry.state for entry in inbox.entries] == ["buried", "waiting", "waiting", "waiting"]


def test_replay_of_all() -> None:
    """All of them, however many pages that are."""
    inbox = FakeInbox()
    for number in range(250):
        inbox.put([an_event(str(number), f"user-{number}")], body_hash=b"")
        claim = inbox.claim(lease_s=60)
        assert claim is not None
        inbox.bury(claim, reason="x")

    assert run(inbox, "replay", "--all").stdout == "250 tried again.\n"
    assert inbox.status().waiting == 250


@pytest.mark.parametrize("command", ["replay", "drop"])
@pytest.mark.parametrize("number", ["3", "99"])
def test_what_was_not_put_aside(inbox: FakeInbox, command: str, number: str) -> None:
    """An event that is none, or waits by itself, is left alone: exit 1."""
    result = run(inbox, command, number)

    assert result.exit_code == 1
    assert f"{number} was not put aside" in result.stderr
    assert inbox.status().retrying == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "1", "--all"],
        ["replay", "x"],
        ["replay", str(2**63)],
        ["drop", str(2**63)],
    ],
)
def test_bad_usage(inbox: FakeInbox, arguments: list[str]) -> None:
    """Neither a number nor --all, or both, or none that there can be: exit 2, nothing is done."""
    assert run(inbox, *arguments).exit_code == 2
    assert inbox.status().buried == 2


def test_drop(inbox: FakeInbox) -> None:
    """A dropped event is gone, and is not tried again."""
    assert run(inbox, "drop", "1").exit_code == 0
    assert [event.number for event in inbox.buried()] == [2]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["status"], ["retrying"], ["retrying", "--json"], ["dead"], ["dead", "--json"]),
        *(["replay", "1"], ["drop", "1"]),
    ],
)
def test_storage_away(inbox: FakeInbox, arguments: list[str]) -> None:
    """A database that cannot be asked is said in our words: exit 75."""
    inbox.fault = "connection_failed"

    result = run(inbox, *arguments)

    assert result.exit_code == 75
    assert result.stderr == "the database cannot be asked: connection_failed\n"


def test_without_settings() -> None:
    """What the commands do can be read anywhere; what is in the inbox needs settings: exit 78."""
    runner = CliRunner(env={"TOKENSVC_CONFIG": None})

    assert runner.invoke(sync, ["status", "--help"]).exit_code == 0
    assert runner.invoke(sync, ["status"]).exit_code == 78


def test_the_inbox_of_the_settings(sqlite_url: str) -> None:
    """Without another it is the one that the settings name."""
    storage_of(settings(storage={"url": sqlite_url})).inbox.put([an_event()], body_hash=b"")
    environ = an_environment(TOKENSVC_STORAGE__URL=sqlite_url)

    result = CliRunner(env=environ).invoke(sync, ["status", "--json"])

    assert lines(result)[0]["waiting"] == 1
