"""A service whose secrets are files, and whose looks at them are the test's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.builders import (
    API_KEY,
    GENEROUS,
    SECRET,
    Service,
    a_sessions_table,
    a_token,
    an_environment,
)
from tests.fakes import FakeDirectory, WatchedLog
from tests.security.forging import Signer
from tokensvc.app import app_around
from tokensvc.domain.issuing import TokenIssuer
from tokensvc.services import assemble
from tokensvc.settings_loading import load_settings


class Rig:
    """A service whose secrets are files, and who looks at them when the test says so."""

    def __init__(self, folder: Path, **environ: Any) -> None:
        self.folder = folder
        self.log = WatchedLog()
        self.settings = load_settings(
            an_environment(**environ), overrides={"limits": {**GENEROUS, **self.limits()}}
        )
        self.services = assemble(self.settings, log_stream=self.log)
        self.look = self.services.watcher.look
        issuer = TokenIssuer(FakeDirectory(), self.services.tokens.issuer.provisioning)
        tokens = replace(self.services.tokens, issuer=issuer)
        self.service = Service(
            app_around(replace(self.services, tokens=tokens), self.settings), self.log
        )

    def limits(self) -> dict[str, Any]:
        """Return where limits are counted: in memory, unless there is a URL in a file."""
        url = self.folder / "redis_url"
        return {"storage_url_file": str(url)} if url.exists() else {}

    def status(self, token: str) -> int:
        """Return how a login with *token* ends."""
        status: int = self.service.login(token).status_code
        return status

    def events(self) -> list[dict[str, Any]]:
        """Return the operational events so far, without their times."""
        lines = (line for line in self.log.lines() if line["event"] != "request")
        return [{name: line[name] for name in line if name != "time"} for line in lines]


def a_file(folder: Path, name: str, content: str | bytes) -> str:
    """Put another file in the place of *name*, whole at every moment; return its path."""
    new = folder / f"{name}.new"
    new.write_bytes(content.encode() if isinstance(content, str) else content)
    new.rename(folder / name)
    return str(folder / name)


def a_rig(folder: Path, *tables: dict[str, Any], **environ: Any) -> Rig:
    """Return a service on session tables, one with a secret in a file if none is given."""
    one = a_sessions_table(secret=None, secret_file=a_file(folder, "secret", SECRET))
    return Rig(folder, TOKENSVC_SESSIONS=json.dumps(tables or [one]), **environ)


def a_key_table(**files: str) -> dict[str, Any]:
    return a_sessions_table(secret=None, algorithms=["RS256"], **files)


def signed(signer: Signer) -> str:
    """Return a good token of *signer*, who need not be trusted."""
    return a_token(key=signer.key, alg=signer.alg, header={"kid": signer.kid})


def an_api_key_file(folder: Path) -> dict[str, str]:
    return {"TOKENSVC_COMETCHAT__API_KEY_FILE": a_file(folder, "api_key", API_KEY)}
