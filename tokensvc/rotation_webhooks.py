"""Rotation of webhooks: each source's secrets in force, and how their files are read again."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from pydantic import SecretStr, ValidationError

from tokensvc.adapters.secrets import CurrentSender, SecretRefusedError, WatchedFile
from tokensvc.settings import Settings
from tokensvc.settings_faults import sentence
from tokensvc.settings_webhook_faults import secret_lines, webhook_faults
from tokensvc.settings_webhooks import WebhookSettings


class WebhookSecretsInForce:
    """The newest good sender of every source, asked for at each delivery.

    New secrets and keys pass all the checks of the start first. *mask* is told of
    them before anything uses them.
    """

    def __init__(self, settings: Settings, *, mask: Callable[[Iterable[str]], None]) -> None:
        self._settings = settings
        self._mask = mask
        self.senders = {
            table.source: CurrentSender(table.load_sender()) for table in settings.webhooks
        }
        self._terms = {table.source: table.terms() for table in settings.webhooks}

    def files(self) -> Iterator[WatchedFile]:
        """Yield every file that proves one of the sources."""
        for index, table in enumerate(self._settings.webhooks):
            for name, path in (
                ("secrets_file", table.secrets_file),
                ("options.jwks_file", table.options.jwks_file),
            ):
                if path is not None:
                    reread = partial(self._reread, index)
                    yield WatchedFile(f"webhooks[{index}].{name}", path, reread)

    def _reread(self, index: int) -> bool:
        table = self._settings.webhooks[index]
        candidate = self._checked(table, index)
        terms, sender = candidate.terms(), candidate.load_sender()
        if terms == self._terms[table.source]:
            return False
        self._mask(candidate.secret_values())
        self._settings = self._with(candidate, index)
        self._terms[table.source] = terms
        self.senders[table.source].current = sender
        return True

    def _checked(self, table: WebhookSettings, index: int) -> WebhookSettings:
        """Return *table* as its files are now, or raise `SecretRefusedError`."""
        try:
            lines = secret_lines(table.secrets_file) if table.secrets_file else None
            secrets = table.secrets if lines is None else [SecretStr(line) for line in lines]
            candidate = type(table).model_validate({**table.model_dump(), "secrets": secrets})
        except ValidationError as error:
            faults = [sentence(details) for details in error.errors(include_input=False)]
            raise SecretRefusedError("; ".join(faults)) from None
        except ValueError as fault:
            raise SecretRefusedError(str(fault)) from None
        if faults := list(webhook_faults(self._with(candidate, index).model_dump())):
            raise SecretRefusedError("; ".join(faults))
        return candidate

    def _with(self, candidate: WebhookSettings, index: int) -> Settings:
        webhooks = [*self._settings.webhooks]
        webhooks[index] = candidate
        return self._settings.model_copy(update={"webhooks": webhooks})
