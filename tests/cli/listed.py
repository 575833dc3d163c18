"""The commands about users, run as an operator runs them, against an emulated CometChat."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from tests.builders import API_KEY, APP_ID, an_environment
from tests.databases import a_sqlite_database
from tests.processes import command
from tokensvc.cli import main
from tokensvc.emulator import EmulatorServer, Switches
from tokensvc.emulator.world import User

UNLIMITED = 10**9


@dataclass
class Desk:
    """A folder with a database, an emulated CometChat, and the commands."""

    folder: Path
    emulator: EmulatorServer
    environ: dict[str, str]

    def words(self, *arguments: str) -> list[str]:
        return command("users", *arguments)

    def run(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Run `tokensvc users ARGUMENTS` in the folder, in this process: that takes no seconds."""
        with chdir(self.folder):
            return CliRunner().invoke(
                main,
                ["users", *arguments],
                env={**self.environ},
                input=stdin,
                catch_exceptions=False,
            )

    def run_alone(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run `tokensvc users ARGUMENTS` in the folder, to its end, as a process of its own."""
        return subprocess.run(  # noqa: S603 (our own command)
            self.words(*arguments),
            env={"PATH": os.environ["PATH"], **self.environ},
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            timeout=100,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `tokensvc users ARGUMENTS`."""
        return subprocess.Popen(  # noqa: S603 (our own command)
            self.words(*arguments),
            env={"PATH": os.environ["PATH"], **self.environ},
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def write(self, name: str, content: str) -> str:
        """Write a file into the folder; return its name."""
        (self.folder / name).write_text(content)
        return name

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    @property
    def users(self) -> dict[str, User]:
        """What CometChat has, by uid."""
        return self.emulator.world.apps[APP_ID].users

    def live(self) -> list[str]:
        return sorted(uid for uid, user in self.users.items() if user.deactivated_at is None)

    def creations(self) -> list[str]:
        """Return the uids that CometChat was asked to create, as often as it was asked."""
        return [
            uid
            for entry in self.emulator.requests
            if entry.path == "/v3/data_import/users" and entry.body
            for uid in entry.body["users"]
        ]


@contextmanager
def a_desk(folder: Path, *, bulk: int = UNLIMITED, **settings: Any) -> Iterator[Desk]:
    """Open a desk; *bulk* requests a minute, and settings by their variables."""
    switches = Switches(
        import_per_minute=bulk, core_per_minute=UNLIMITED, standard_per_minute=UNLIMITED
    )
    with EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator:
        environ = an_environment(
            TOKENSVC_COMETCHAT__BASE_URL=emulator.rest_url,
            TOKENSVC_STORAGE__URL=a_sqlite_database(folder / "tokensvc.db"),
            **settings,
        )
        yield Desk(folder, emulator, environ)


def a_list(count: int) -> str:
    """Return a list of so many users, as CSV."""
    rows = [
        f'user-{number},Name {number},https://x.test/{number}.png,a;b,"{{""plan"": ""gold""}}"'
        for number in range(count)
    ]
    return "\n".join(["id,full_name,picture,tags,metadata", *rows, ""])


def lines_of(output: str) -> list[dict[str, Any]]:
    """Return what was printed as JSON, line by line."""
    return [json.loads(line) for line in output.splitlines()]
