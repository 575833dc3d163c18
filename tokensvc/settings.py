"""Settings: what an operator may choose, section by section."""

from collections.abc import Iterator, Sequence
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokensvc import settings_checks as checks
from tokensvc.domain.uids import clashing_prefixes
from tokensvc.settings_sections import (
    AuditSettings,
    CometChatSettings,
    HttpSettings,
    KeySettings,
    LifecycleSettings,
    LimitSettings,
    ProvisioningSettings,
    ServerSettings,
    SessionSettings,
    StorageSettings,
    UidSettings,
    UpstreamSettings,
    WorkerSettings,
)
from tokensvc.settings_webhooks import WebhookSettings


class Settings(BaseSettings):
    """Everything that can be set, by section. `load_settings` reads it."""

    model_config = SettingsConfigDict(
        env_prefix="TOKENSVC_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    development: bool = False
    cometchat: CometChatSettings
    upstream: UpstreamSettings = UpstreamSettings()
    sessions: Annotated[list[SessionSettings], Field(min_length=1)]
    keys: KeySettings = KeySettings()
    webhooks: Annotated[list[WebhookSettings], Field(max_length=100)] = []
    uids: UidSettings = UidSettings()
    provisioning: ProvisioningSettings = ProvisioningSettings()
    lifecycle: LifecycleSettings = LifecycleSettings()
    worker: WorkerSettings = WorkerSettings()
    limits: LimitSettings = LimitSettings()
    storage: StorageSettings = StorageSettings()
    http: HttpSettings = HttpSettings()
    audit: AuditSettings = AuditSettings()
    server: ServerSettings = ServerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is pydantic's)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what `load_settings` has read, and read nothing more."""
        return (init_settings,)

    def secret_values(self) -> Iterator[str]:
        """Yield every secret that was loaded, for whoever must mask them."""
        yield from self.cometchat.api_keys()
        for table in self.sessions:
            secrets = (table.secret, table.secret_previous)
            yield from (secret.get_secret_value() for secret in secrets if secret)
        for webhook in self.webhooks:
            yield from webhook.secret_values()
        if self.audit.log_key:
            yield self.audit.log_key.get_secret_value()
        for url in (self.limits.storage_url, self.storage.url):
            password = urlsplit(url.get_secret_value()).password or ""
            yield from (
                text
                for text in (password, unquote(password))
                if len(text) >= checks.MIN_MASKED_CHARS
            )


def prefix_faults(prefixes: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the uid prefixes of several issuers."""
    for first, second in clashing_prefixes(prefixes):
        yield (
            f"uid_prefix {first!r} begins uid_prefix {second!r}: "
            "two issuers could name the same user"
        )
