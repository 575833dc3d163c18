"""Users from the command line: shown, shut out, let in, exported and compared with a list."""

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import APP_ID, OTHER_SECRET, SECRET, a_sessions_table, a_uid
from tests.cli.listed import Desk, a_desk, a_list, lines_of
from tokensvc.adapters.accounts import SQLAccounts
from tokensvc.adapters.database import Database
from tokensvc.domain.accounts import AccountState
from tokensvc.emulator.faults import parse_fault

REFUSED = "CometChat refuses what is configured"
PEOPLE = "uid,name\nann,Ann\nbob,Bob\neve,Eve\n"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with a_desk(tmp_path) as desk:
        desk.write("users.csv", PEOPLE)
        assert desk.run("import", "users.csv").exit_code == 0
        yield desk


def state_of(desk: Desk, uid: str) -> AccountState:
    """Return the state that is written down."""
    database = Database(desk.environ["TOKENSVC_STORAGE__URL"])
    try:
        account = SQLAccounts(database, now=time.time).find(a_uid(uid))
    finally:
        database.close()
    assert account
    return account.state


def test_show(desk: Desk) -> None:
    """What CometChat has, and what the app has said."""
    done = desk.run("show", "ann")

    assert done.exit_code == 0
    assert [line.split() for line in done.stdout.splitlines()[:3]] == [
        ["ann:", "live", "at", "CometChat"],
        ["uid", '"ann"'],
        ["name", '"Ann"'],
    ]
    assert json.loads(desk.run("show", "ann", "--json").stdout)["account"]["account"] == "active"


def test_show_times(desk: Desk) -> None:
    """Times are dates for people, and numbers for scripts; what nobody has said has none."""
    desk.run("delete", "zoe")

    imported, stranger = desk.run("show", "ann"), desk.run("show", "zoe")

    assert re.search(r'profile_version +"\d{4}-\d\d-\d\dT', imported.stdout)
    assert "profile_version" not in stranger.stdout
    assert json.loads(desk.run("show", "zoe", "--json").stdout)["account"]["profile_version"] == -1


def test_show_nobody(desk: Desk) -> None:
    """Whoever is not live is said to be so; nothing is known of a stranger."""
    done = desk.run("show", "zoe", "--json")

    assert (done.exit_code, json.loads(done.stdout)) == (
        1,
        {"uid": "zoe", "live": None, "account": None},
    )


def test_deactivate_and_restore(desk: Desk) -> None:
    """Several at once; it is written down, and can be done again."""
    done = desk.run("deactivate", "ann", "bob", "ann")

    assert (done.exit_code, done.stdout) == (0, "ann: deactivated\nbob: deactivated\n")
    assert desk.live() == ["eve"]
    assert state_of(desk, "ann") is AccountState.DEACTIVATED

    done = desk.run("restore", "ann", "zoe")

    assert (done.exit_code, done.stdout) == (1, "ann: restored\nzoe: there is no such user\n")
    assert (desk.live(), state_of(desk, "ann")) == (["ann", "eve"], AccountState.ACTIVE)


def test_delete(desk: Desk) -> None:
    """A deletion can be undone until it is for ever."""
    done = desk.run("delete", "ann")
    until = re.fullmatch(r"ann: deleted; can be restored until (\S+T\S+Z)\n", done.stdout)
    assert until
    assert (desk.live(), state_of(desk, "ann")) == (["bob", "eve"], AccountState.DELETING)
    assert f'delete_at         "{until[1]}"' in desk.run("show", "ann").stdout
    account = json.loads(desk.run("show", "ann", "--json").stdout)["account"]
    assert account["delete_at"] > time.time()

    assert desk.run("restore", "ann").exit_code == 0
    assert (desk.live(), state_of(desk, "ann")) == (["ann", "bob", "eve"], AccountState.ACTIVE)


def test_delete_and_restore_a_stranger(desk: Desk) -> None:
    """Whom CometChat does not have is told to be missing, and can be restored."""
    deleted, restored = desk.run("delete", "zoe"), desk.run("restore", "zoe")

    assert (deleted.exit_code, deleted.stdout) == (
        *(0, "zoe: CometChat has no such user; remembered as deleted\n"),
    )
    assert (restored.exit_code, restored.stdout) == (
        *(0, "zoe: CometChat has no such user; remembered as restored\n"),
    )
    assert state_of(desk, "zoe") is AccountState.ACTIVE


def test_delete_for_ever(desk: Desk) -> None:
    """It is asked about, and done at once; no list brings the user back."""
    asked = desk.run("delete", "--permanent", "ann", stdin=b"n\n")
    assert (asked.exit_code, "Delete ann for ever" in asked.output) == (1, True)
    alone = desk.run("delete", "--permanent", "ann", stdin=b"")
    assert (alone.exit_code, "to delete ann, say --yes" in alone.output) == (2, True)
    assert "ann" in desk.users

    assert desk.run("delete", "--permanent", "--yes", "ann").exit_code == 0
    assert ("ann" in desk.users, state_of(desk, "ann")) == (False, AccountState.DELETED)

    again = desk.run("import", "users.csv", "--skip-existing")

    assert (again.exit_code, "line 2: ann: account_deleted" in again.stderr) == (1, True)
    assert "ann" not in desk.users


@pytest.mark.parametrize("uid", ["Ann", "a/../b", ""])
def test_bad_uid(desk: Desk, uid: str) -> None:
    """A uid is not folded into another one."""
    done = desk.run("deactivate", uid)

    assert (done.exit_code, desk.live()) == (2, ["ann", "bob", "eve"])


@pytest.mark.parametrize(
    ("fault", "code", "sentence"),
    [
        ("status=401", 78, f"{REFUSED}: AUTH_ERR_APIKEY_NOT_FOUND (cometchat.api_key; {{place}})"),
        ("html", 75, "CometChat is busy or out of reach: answer_not_understood_200 ({place})"),
    ],
)
@pytest.mark.parametrize("words", [("show", "ann"), ("deactivate", "ann"), ("export",)])
def test_failing_neighbour(
    desk: Desk, words: tuple[str, ...], fault: str, code: int, sentence: str
) -> None:
    """The sentence names what to look at, and nothing of what somebody else has written."""
    place = f"cometchat.base_url: {desk.emulator.rest_url}"
    desk.emulator.faults.order(parse_fault(fault, time.time()))

    done = desk.run(*words)

    assert (done.exit_code, done.stderr.strip()) == (code, sentence.format(place=place))


def test_export(desk: Desk) -> None:
    """What is exported is read again as the same; who is shut out comes on demand."""
    desk.run("deactivate", "eve")

    assert desk.run("export", "--output", "all.csv").exit_code == 0
    assert desk.run("reconcile", "all.csv").exit_code == 0

    rows = lines_of(desk.run("export", "--format", "jsonl", "--with-deactivated").stdout)

    assert [(row["uid"], row.get("deactivated")) for row in rows] == [
        *(("eve", True), ("bob", None), ("ann", None))
    ]


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_exported_with_deactivated(desk: Desk, file_format: str) -> None:
    """The list lets nobody in who is deactivated by it: they stay out, or are shut out again."""
    desk.run("deactivate", "eve")
    name = f"all.{file_format}"
    desk.run("export", "--with-deactivated", "--format", file_format, "--output", name)

    same = desk.run("reconcile", name, "--apply")
    desk.users["eve"].deactivated_at = None
    live = desk.run("reconcile", name)
    many = desk.run("reconcile", name, "--apply")
    again = desk.run("reconcile", name, "--apply", "--yes")

    assert (same.exit_code, same.stderr) == (0, "")
    assert (live.exit_code, live.stdout.splitlines()[0]) == (1, "live         eve")
    assert (many.exit_code, "1 of 3 users would be deactivated" in many.stderr) == (2, True)
    assert (again.exit_code, again.stdout.splitlines()[0]) == (0, "live         eve: deactivated")
    assert desk.live() == ["ann", "bob"]


def test_import_of_deactivated_users(desk: Desk) -> None:
    """Nobody is created to be shut out, nor let in: such rows are skipped, and counted."""
    desk.write("more.csv", "uid,name,deactivated\nzoe,Zoe,true\nann,Ann A.,\nbob,Rob,true\n")
    desk.write("twice.csv", "uid,deactivated\nzoe,true\nzoe,true\nann,\n")

    twice = desk.run("import", "twice.csv", "--dry-run", "--skip-invalid")
    dry = desk.run("import", "more.csv", "--dry-run", "--update")
    done = desk.run("import", "more.csv", "--update")

    assert "1 of 3 rows can be sent" in twice.stdout
    assert dry.stdout.splitlines() == [
        "2 rows of deactivated users: skipped",
        "1 of 3 rows can be sent; nothing was",
    ]
    assert (done.exit_code, "skipped deactivated" in done.stdout) == (0, True)
    assert desk.live() == ["ann", "bob", "eve"]
    assert desk.users["bob"].fields["name"] == "Bob"


def test_failed_export_leaves_the_last_one(desk: Desk) -> None:
    """A file that is there is replaced by a whole one, or not at all."""
    desk.write("all.csv", "the last one")
    desk.emulator.faults.order(parse_fault("html", time.time()))

    desk.run("export", "--output", "all.csv")

    assert desk.read("all.csv") == "the last one"


def drifted(desk: Desk) -> str:
    """Let the list and CometChat differ in every way; return the list's name."""
    desk.users["bob"].fields["name"] = "Rob"
    desk.users["eve"].deactivated_at = 1
    desk.emulator.world.create_user(
        desk.emulator.world.apps["1234567890abcdef"], "extra", {"name": "X"}
    )
    return desk.write("all.csv", PEOPLE + "new,New\n")


def test_reconcile(desk: Desk) -> None:
    """It tells who differs and how, changes nothing, and its exit code says that something does."""
    done = desk.run("reconcile", drifted(desk))

    assert (done.exit_code, done.stdout.splitlines()) == (
        1,
        [
            "extra        extra",
            "deactivated  eve",
            "different    bob (name)",
            "missing      new",
            "1 missing, 1 extra, 1 different, 1 deactivated, 0 live; 0 mended",
        ],
    )
    assert all(entry.method == "GET" for entry in desk.emulator.requests[-2:])


def test_reconcile_json(desk: Desk) -> None:
    """For scripts there is an object per user."""
    done = desk.run("reconcile", drifted(desk), "--json")

    assert {"uid": "bob", "drift": "different", "fields": ["name"]} in lines_of(done.stdout)


def test_reconcile_apply(desk: Desk) -> None:
    """What the list says is done; who is not on it stays unless that is asked for."""
    name = drifted(desk)

    done = desk.run("reconcile", name, "--apply")

    assert (done.exit_code, "3 mended" in done.stdout) == (1, True)
    assert desk.live() == ["ann", "bob", "eve", "extra", "new"]
    assert desk.users["bob"].fields["name"] == "Bob"

    done = desk.run("reconcile", name, "--apply", "--deactivate-extra", "--yes")

    assert (done.exit_code, desk.live()) == (0, ["ann", "bob", "eve", "new"])
    assert desk.run("reconcile", name).exit_code == 0


def test_only_users_of_the_issuer_are_extra(tmp_path: Path) -> None:
    """Bots, other programs' users and those of another issuer are on no list of this one."""
    tables = [
        a_sessions_table(issuer=f"https://{name}.test", uid_prefix=f"{name}_", secret=secret)
        for name, secret in (("a", SECRET), ("b", OTHER_SECRET))
    ]
    with a_desk(tmp_path, TOKENSVC_SESSIONS=json.dumps(tables)) as desk:
        app = desk.emulator.world.apps[APP_ID]
        for uid in ("a_ann", "a_gone", "b_bob", "support-bot"):
            desk.emulator.world.create_user(app, uid, {"name": uid})
        desk.write("a.csv", "subject,name\nann,a_ann\n")
        words = ("--issuer", "https://a.test", "--apply", "--deactivate-extra", "--yes")

        done = desk.run("reconcile", "a.csv", *words)

        assert (done.exit_code, done.stdout.splitlines()[0]) == (
            *(0, "extra        a_gone: deactivated"),
        )
        assert desk.live() == ["a_ann", "b_bob", "support-bot"]


def test_who_is_newer_than_the_list_is_not_extra(desk: Desk) -> None:
    """Somebody who has signed up since cannot be on it."""
    desk.write("new.csv", "uid,name\nzoe,Zoe\n")
    assert desk.run("import", "new.csv").exit_code == 0
    os.utime(desk.folder / "users.csv", (1, 1))

    done = desk.run("reconcile", "users.csv", "--apply", "--deactivate-extra", "--yes")

    assert (done.exit_code, done.stdout.splitlines()[0]) == (
        *(1, "extra        zoe: skipped newer_known"),
    )
    assert "zoe" in desk.live()


def test_wrong_list(desk: Desk) -> None:
    """A list that would shut out many is taken for a mistake, and an empty one always is."""
    desk.write("few.csv", "uid\nann\n")
    desk.write("none.csv", "uid\n")

    few = desk.run("reconcile", "few.csv", "--apply", "--deactivate-extra")
    none = desk.run("reconcile", "none.csv", "--apply", "--deactivate-extra", "--yes")
    dry = desk.run("reconcile", "few.csv", "--deactivate-extra")

    assert [few.exit_code, none.exit_code, dry.exit_code] == [2, 2, 2]
    assert "2 of 3 users would be deactivated" in few.stderr
    assert desk.live() == ["ann", "bob", "eve"]


def test_list_with_a_bad_row(desk: Desk) -> None:
    """Whoever has a bad row would count as extra: nothing is compared."""
    desk.write("bad.csv", PEOPLE + "Bad!,x\n")

    done = desk.run("reconcile", "bad.csv", "--apply", "--deactivate-extra", "--yes")

    assert (done.exit_code, done.stdout, desk.live()) == (1, "", ["ann", "bob", "eve"])


def test_many_missing_users_go_in_bulk(desk: Desk) -> None:
    """Fifty at once, as an import would."""
    desk.write("all.csv", a_list(120))
    count = len(desk.emulator.requests)

    desk.run("reconcile", "all.csv", "--apply")

    bulk = [e for e in desk.emulator.requests[count:] if e.path == "/v3/data_import/users"]
    assert [len(entry.body["users"]) for entry in bulk] == [50, 50, 20]


def test_whom_the_app_has_shut_out(desk: Desk) -> None:
    """A list that is older than a deletion does not bring anybody back."""
    desk.run("delete", "ann")

    done = desk.run("reconcile", "users.csv", "--apply")

    assert (done.exit_code, "ann: failed account_deleting" in done.stdout) == (1, True)
    assert desk.live() == ["bob", "eve"]
