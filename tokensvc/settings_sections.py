"""Sections: the tables of the settings, each value with its type, its bounds and its default."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from tokensvc import settings_checks as checks
from tokensvc.adapters.discovery import configuration_url
from tokensvc.adapters.key_sets import (
    KeyPolicyError,
    KeySet,
    NamedKeys,
    PinnedKey,
    demand_public,
    key_from_pem,
    key_from_secret,
    keys_from_jwks,
)

CLOSED: Final = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
"""A table is closed, so that a typing mistake is a fault; and what is in it is never quoted."""

Text = Annotated[str, Field(min_length=1, max_length=1000)]
ClaimName = Annotated[str, Field(min_length=1, max_length=200)]
ONE_KEY_SOURCE: Final = (
    "set exactly one of secret, public_key_file, jwks_file, jwks_url and discovery = true"
)
Seconds = Annotated[float, Field(gt=0, le=60)]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = CLOSED


class CometChatSettings(Section):
    """Which CometChat app, and how to reach it."""

    app_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,20}$")]
    api_key: Annotated[SecretStr, AfterValidator(checks.header_safe)]
    api_key_file: Path | None = None
    api_key_previous: Annotated[SecretStr, AfterValidator(checks.header_safe)] | None = None
    api_key_previous_file: Path | None = None
    base_url: Annotated[str, AfterValidator(checks.base_url)] | None = None
    ca_file: Annotated[Path, AfterValidator(checks.certificates)] | None = None
    connect_timeout_s: Seconds = 1.0
    read_timeout_s: Seconds = 2.0
    try_timeout_s: Seconds = 2.0
    total_timeout_s: Seconds = 5.0
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 160
    max_waiting: Annotated[int, Field(ge=0, le=10_000)] | None = None
    max_wait_s: Annotated[float, Field(ge=0, le=5)] = 0.1
    plan_limit_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] = 500
    login_reserve: Ratio = 0.2

    @property
    def rest_url(self) -> str:
        """Where the REST API is: the app's own host, unless another is set."""
        return self.base_url or f"https://{self.app_id}.api-{self.region}.cometchat.io/v3"

    def api_keys(self) -> list[str]:
        """Return the REST keys, the current one first."""
        keys = (self.api_key, self.api_key_previous)
        return [key.get_secret_value() for key in keys if key is not None]


class UpstreamSettings(Section):
    """When CometChat is tried again, and when it is left alone."""

    retry_ratio: Ratio = 0.1
    breaker_failure_ratio: Annotated[float, Field(ge=0.05, le=1)] = 0.5
    breaker_min_calls: Annotated[int, Field(ge=1, le=10_000)] = 20
    breaker_window_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    breaker_timeouts: Annotated[int, Field(ge=1, le=10_000)] = 5
    breaker_open_s: Seconds = 2.0
    breaker_max_open_s: Seconds = 5.0


class SessionSettings(Section):
    """One issuer of session tokens: its keys, and what its claims mean."""

    issuer: Text
    audience: Annotated[list[Text], Field(min_length=1), BeforeValidator(checks.listed)]
    algorithms: Annotated[
        list[Annotated[str, AfterValidator(checks.algorithm)]],
        Field(min_length=1),
    ]
    secret: SecretStr | None = None
    secret_file: Path | None = None
    secret_previous: SecretStr | None = None
    secret_previous_file: Path | None = None
    public_key_file: Path | None = None
    public_key_previous_file: Path | None = None
    jwks_file: Path | None = None
    jwks_url: Annotated[str, AfterValidator(checks.key_url)] | None = None
    discovery: bool = False
    leeway_s: Annotated[float, Field(ge=0, le=120)] = 30.0
    token_types: list[Text] = ["JWT", "at+jwt"]
    uid_claim: ClaimName = "sub"
    uid_prefix: Annotated[str, AfterValidator(checks.uid_prefix)] = ""
    name_claim: ClaimName | None = "name"
    avatar_claim: ClaimName | None = "picture"
    role_claim: ClaimName | None = None
    tags_claim: ClaimName | None = None
    metadata_claims: list[ClaimName] = []
    _files: checks.ReadOnce = PrivateAttr(default_factory=checks.ReadOnce)

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences, one or several: a token must name one of them."""
        return frozenset(self.audience)

    @property
    def key_url(self) -> str | None:
        """Where the issuer's keys, or its description, are fetched from; None: they are here."""
        return configuration_url(self.issuer) if self.discovery else self.jwks_url

    def load_keys(self) -> PinnedKey | NamedKeys:
        """Return the issuer's keys that are here; raises `KeyPolicyError` or `OSError`."""
        if self.secret is not None:
            return key_from_secret(self.secret.get_secret_value().encode(), self.algorithms)
        if self.public_key_file is not None:
            return key_from_pem(self._files.read(self.public_key_file), self.algorithms)
        if self.jwks_file is not None:
            return keys_from_jwks(self._files.read(self.jwks_file), self.algorithms)
        raise KeyPolicyError(ONE_KEY_SOURCE)

    def load_previous_keys(self) -> KeySet | None:
        """Return the keys that were replaced a short while ago, if any; raises as `load_keys`."""
        if self.secret_previous is not None:
            previous = self.secret_previous.get_secret_value()
            return key_from_secret(previous.encode(), self.algorithms)
        if self.public_key_previous_file is not None:
            previous_pem = self._files.read(self.public_key_previous_file)
            return key_from_pem(previous_pem, self.algorithms)
        return None

    @model_validator(mode="after")
    def _previous_goes_with_its_like(self) -> Self:
        if self.secret_previous is not None and self.secret is None:
            raise ValueError("secret_previous goes with secret alone")
        if self.public_key_previous_file is not None and self.public_key_file is None:
            raise ValueError("public_key_previous_file goes with public_key_file alone")
        return self

    @model_validator(mode="after")
    def _keys_can_be_trusted(self) -> Self:
        sources = (self.secret, self.public_key_file, self.jwks_file, self.jwks_url)
        if sum(source is not None for source in sources) + self.discovery != 1:
            raise ValueError(ONE_KEY_SOURCE)
        if self.discovery:
            try:
                checks.key_url(self.issuer)
            except ValueError as error:
                raise ValueError(f"with discovery the issuer {error}") from None
        if self.key_url is None:
            _demand_keys(self.load_keys, self.public_key_file or self.jwks_file)
        else:
            demand_public(self.algorithms)
        _demand_keys(self.load_previous_keys, self.public_key_previous_file or "secret_previous")
        return self


def _demand_keys(load: Callable[[], KeySet | None], place: Path | str | None) -> None:
    try:
        load()
    except OSError as error:
        raise ValueError(f"{place}: cannot be read: {error.strerror}") from None
    except KeyPolicyError as error:
        raise ValueError(f"{place}: {error}" if place else str(error)) from None


class KeySettings(Section):
    """How key sets are fetched, for how long they are believed, and where they are kept."""

    directory: Path = Path("~/.cache/tokensvc/keys")
    max_age_s: Annotated[float, Field(ge=60, le=3600)] = 300.0
    max_stale_s: Annotated[float, Field(ge=60, le=30 * 86400)] = 86400.0
    connect_timeout_s: Seconds = 1.0
    total_timeout_s: Seconds = 3.0
    ca_file: Annotated[Path, AfterValidator(checks.certificates)] | None = None

    @model_validator(mode="after")
    def _stale_is_older_than_fresh(self) -> Self:
        if self.max_stale_s < self.max_age_s:
            raise ValueError("max_stale_s must be at least max_age_s")
        return self


class UidSettings(Section):
    """How subjects become uids."""

    strategy: Literal["exact", "encoded"] = "exact"


class ProvisioningSettings(Section):
    """What a user gets who is created at their first login."""

    default_role: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = None
    default_tags: Annotated[
        list[Annotated[str, Field(pattern=r"\S", max_length=100)]], Field(max_length=25)
    ] = []
    reactivate_on_login: bool = False
    update_on_login: bool = True


class LifecycleSettings(Section):
    """What becomes of users whom the app has deleted."""

    delete_after: Annotated[str, AfterValidator(checks.delay)] = "30d"
    allow_recreate: bool = False

    @property
    def delete_after_s(self) -> float | None:
        """How long a deletion can be undone, in seconds; None: for ever."""
        return checks.delay_s(self.delete_after)


class WorkerSettings(Section):
    """How `tokensvc worker` works the inbox off."""

    threads: Annotated[int, Field(ge=1, le=64)] = 4
    lease_s: Annotated[float, Field(ge=1, le=3600)] = 60.0


class LimitSettings(Section):
    """How often a user may log in and a webhook's source may call, and where that is counted."""

    per_user: Annotated[str, AfterValidator(checks.rate_limits)] = "10 per minute; 200 per day"
    storage_url: Annotated[SecretStr, AfterValidator(checks.storage_url)] = SecretStr("memory://")
    failed_per_address: Annotated[str, AfterValidator(checks.rate_limits)] = "1000 per minute"
    per_webhook_source: Annotated[str, AfterValidator(checks.rate_limits)] = "30000 per minute"
    storage_url_file: Path | None = None


class StorageSettings(Section):
    """Where events and accounts are kept, and for how long what is done stays known."""

    url: Annotated[SecretStr, AfterValidator(checks.database_url)] = SecretStr(
        "sqlite:///~/.local/state/tokensvc/tokensvc.db"
    )
    url_file: Path | None = None
    pool_size: Annotated[int, Field(ge=1, le=100)] = 5
    connect_timeout_s: Seconds = 2.0
    statement_timeout_s: Seconds = 2.0
    keep_done_days: Annotated[float, Field(ge=4, le=365)] = 14.0


class HttpSettings(Section):
    """What browsers and proxies in front of the service are trusted with."""

    allowed_origins: list[Annotated[str, AfterValidator(checks.origin)]] = []
    trusted_proxies: list[Annotated[IPvAnyNetwork, AfterValidator(checks.proxy_network)]] = []
    server_timing: bool = False
    metrics: bool = False


class AuditSettings(Section):
    """How auth tokens are named in the log."""

    log_key: SecretStr | None = None
    log_key_file: Path | None = None


class ServerSettings(Section):
    """What `tokensvc serve` listens on; other WSGI servers have settings of their own."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    pin_workers: bool = True
    threads: Annotated[int, Field(ge=2, le=10_000)] = 256
    backlog: Annotated[int, Field(ge=128, le=65_535)] = 2048
