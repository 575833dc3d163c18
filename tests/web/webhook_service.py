"""The service with webhook sources, on an inbox in memory and a clock that stands still."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flask.testing import FlaskClient

from tests.builders import GENEROUS, NOW, settings
from tests.web.fake_inbox import FakeInbox
from tests.web.signing import SOURCES, write_jwks
from tokensvc.app import app_around
from tokensvc.domain.accounts import UserEvent
from tokensvc.services import assemble

NEVER_MET: Final = {**GENEROUS, "per_webhook_source": "1000000 per minute"}


@dataclass
class WebhookService:
    """A client, the inbox behind it, and the log so far."""

    client: FlaskClient
    inbox: FakeInbox
    log: io.StringIO

    def post(self, source: str, body: bytes, headers: Mapping[str, str], **request: Any) -> Any:
        """Deliver *body* with *headers*, as a WSGI server would hand them over."""
        raw = {f"HTTP_{name.upper().replace('-', '_')}": text for name, text in headers.items()}
        return self.client.post(
            f"/v1/webhooks/{source}", data=body, environ_overrides=raw, **request
        )

    def deliver(self, name: str, body: Any, **changes: Any) -> Any:
        """Deliver *body* as the sender of the source *name* does."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.post(name, *SOURCES[name].deliver(raw, **changes))

    def events(self) -> list[UserEvent]:
        """Return what is in the inbox."""
        return self.inbox.events

    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def last_line(self) -> dict[str, Any]:
        """Return the newest line of the log."""
        line: dict[str, Any] = json.loads(self.log.getvalue().rstrip().rpartition("\n")[2])
        return line


def webhook_service(
    *tables: Mapping[str, Any], now: Callable[[], float] = lambda: NOW, **overrides: Any
) -> WebhookService:
    """Return a service with these `[[webhooks]]` tables."""
    log, inbox = io.StringIO(), FakeInbox()
    chosen = settings(**{"limits": NEVER_MET, "webhooks": list(tables), **overrides})
    services = assemble(chosen, now=now, log_stream=log, inbox=inbox.as_port())
    return WebhookService(app_around(services, chosen).test_client(), inbox, log)


def service_of_all(folder: Path, **overrides: Any) -> WebhookService:
    """Return a service with every source there is."""
    jwks_file = write_jwks(folder)
    tables = [source.table(jwks_file) for source in SOURCES.values()]
    return webhook_service(*tables, **overrides)
