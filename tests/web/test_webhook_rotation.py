"""Webhook secrets that change while the service runs; a bad file changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from tests.builders import ISSUER, NOW, settings
from tests.fakes import WatchedLog
from tests.rotating import a_file
from tests.web.fake_inbox import FakeInbox
from tests.web.signing import Envelope, a_whsec, standard
from tests.web.webhook_service import NEVER_MET, WebhookService
from tokensvc.app import app_around
from tokensvc.services import assemble

BODY = b'{"type": "user.created", "timestamp": "2027-01-15T08:00:00Z", "data": {"id": "alice"}}'
OLD, NEW = a_whsec("standard"), a_whsec("a newer one")


class Rotated:
    """A service with one source whose secrets are in a file."""

    def __init__(self, folder: Path) -> None:
        table = {
            "source": "standard",
            "sender": "standard",
            "issuer": ISSUER,
            "secrets_file": a_file(folder, "secrets", OLD),
        }
        log, inbox = WatchedLog(), FakeInbox()
        chosen = settings(limits=NEVER_MET, webhooks=[table])
        services = assemble(chosen, now=lambda: NOW, log_stream=log, inbox=inbox.as_port())
        self.folder, self.log = folder, log
        self.look = services.watcher.look
        client = app_around(services, chosen).test_client()
        self.service = WebhookService(client, inbox, log)

    def status(self, secret: str, message_id: str) -> int:
        """Return how a delivery ends that is signed with *secret*."""
        headers = standard(Envelope(BODY, secret=secret, message_id=message_id))
        answer: Any = self.service.post("standard", BODY, headers)
        return int(answer.status_code)

    def events(self) -> list[dict[str, Any]]:
        """Return the operational events so far, without their times."""
        lines = (line for line in self.log.lines() if line["event"] != "request")
        return [{name: line[name] for name in line if name != "time"} for line in lines]


@pytest.fixture
def rotated(tmp_path: Path) -> Rotated:
    """Return the service, which has looked at its file once."""
    found = Rotated(tmp_path)
    found.look()
    return found


def test_a_new_secret_proves_and_the_old_one_does_not(rotated: Rotated) -> None:
    """What stands in the file is in force, without a restart; it is told once."""
    before = [rotated.status(OLD, "m1"), rotated.status(NEW, "m2")]

    a_file(rotated.folder, "secrets", NEW)
    rotated.look()
    rotated.look()

    after = [rotated.status(OLD, "m3"), rotated.status(NEW, "m4")]
    assert (before, after) == ([202, 401], [401, 202])
    told = {"event": "secret_reloaded", "setting": "webhooks[0].secrets_file", "alarm": False}
    assert rotated.events() == [told]


def test_both_stand_in_the_file_meanwhile(rotated: Rotated) -> None:
    """Current and previous one, each in its line: no delivery is lost over a change."""
    a_file(rotated.folder, "secrets", f"{NEW}\n{OLD}\n")
    rotated.look()

    assert [rotated.status(OLD, "m1"), rotated.status(NEW, "m2")] == [202, 202]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "is empty"), (b"\xff", "is not UTF-8"), ("change-me", ""), ("whsec_!!!", "")],
    ids=["empty", "not UTF-8", "placeholder", "no base64"],
)
def test_a_bad_file_keeps_the_old_secret(
    rotated: Rotated, content: str | bytes, reason: str
) -> None:
    """And is an alarm, which quotes nothing of it."""
    a_file(rotated.folder, "secrets", content)
    rotated.look()

    (event,) = rotated.events()
    assert (event["event"], event["alarm"]) == ("secret_refused", True)
    assert reason in event["reason"]
    assert "change-me" not in rotated.log.getvalue()
    assert rotated.status(OLD, "m1") == 202


def test_a_new_secret_is_masked(rotated: Rotated) -> None:
    """It cannot reach the log, not even through a header of somebody else."""
    a_file(rotated.folder, "secrets", NEW)
    rotated.look()

    rotated.service.client.get("/livez", headers={"User-Agent": f"agent {NEW}"})

    assert NEW not in rotated.log.getvalue()
