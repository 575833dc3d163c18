"""Session tokens for trying things out, signed with a development key."""

import json
import time
from collections.abc import Mapping

import click
import jwt

from tokensvc.cli.loading import settings_or_exit
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.settings import Settings
from tokensvc.settings_sections import SessionSettings


@click.command("session-token")
@click.option("--sub", "subject", required=True, help="The user's id.")
@click.option("--claim", "pairs", multiple=True, metavar="NAME=VALUE", help="One more claim.")
@click.option("--issuer", help="Which issuer, where several are configured.")
@click.option("--lifetime", default=3600, show_default=True, help="Seconds; negative: expired.")
def session_token(subject: str, pairs: tuple[str, ...], issuer: str | None, lifetime: int) -> None:
    """Print a session token, as your own app would sign it.

    Works with development keys alone: nobody should sign for real users by hand.
    A VALUE that is JSON is taken as JSON, anything else as text.
    """
    signer = DevelopmentSigner.of(settings_or_exit(), issuer)
    claims = {"sub": subject, **dict(_parse_claim(pair) for pair in pairs)}
    click.echo(signer.sign(claims, lifetime_s=lifetime))


class DevelopmentSigner:
    """Plays the company's own app: signs session tokens with a development secret."""

    def __init__(self, table: SessionSettings) -> None:
        secret = table.secret.get_secret_value() if table.secret else ""
        if not secret.startswith(DEVELOPMENT_MARK):
            raise click.ClickException(
                f"the issuer {table.issuer} has no development key: your app signs its tokens"
            )
        self._secret = secret
        self._table = table

    @classmethod
    def of(cls, settings: Settings, issuer: str | None = None) -> "DevelopmentSigner":
        """Return the signer of *issuer*, else of the first one configured."""
        for table in settings.sessions:
            if issuer in {None, table.issuer}:
                return cls(table)
        raise click.ClickException(f"no issuer is called {issuer}")

    def sign(self, claims: Mapping[str, object], *, lifetime_s: float) -> str:
        """Return a session token that says *claims* and expires in *lifetime_s*."""
        now = int(time.time())
        standard = {
            "iss": self._table.issuer,
            "aud": min(self._table.audiences),
            "iat": now + min(0, int(lifetime_s)),
            "exp": now + int(lifetime_s),
        }
        return jwt.encode({**standard, **claims}, self._secret, algorithm=self._table.algorithms[0])


def _parse_claim(pair: str) -> tuple[str, object]:
    name, equals, text = pair.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--claim")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
