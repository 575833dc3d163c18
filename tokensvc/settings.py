"""Settings: what an operator may choose, each with its type, its bounds and its default."""

import ipaddress
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificates
from limits import parse_many
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokensvc.adapters.key_sets import (
    PUBLIC_KEY_ALGORITHMS,
    SECRET_ALGORITHMS,
    KeyPolicyError,
    KeySet,
    key_from_pem,
    key_from_secret,
    keys_from_jwks,
)
from tokensvc.domain.uids import MAX_PREFIX_CHARS, clashing_prefixes, is_legal_prefix

STORAGE_SCHEMES: Final = ("memory", "redis", "rediss", "redis+unix")


def is_loopback(host: str | None) -> bool:
    """Return whether *host* can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _base_url(text: str) -> str:
    url = urlsplit(text)
    if url.scheme not in {"https", "http"} or not url.hostname:
        raise ValueError("must be an https URL")
    if url.scheme == "http" and not is_loopback(url.hostname):
        raise ValueError("must be https: only loopback may be reached over http")
    if url.query or url.fragment or url.username:
        raise ValueError("must hold no query, fragment or credentials")
    return text.rstrip("/")


def _certificates(path: Path) -> Path:
    try:
        load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise ValueError("holds no PEM certificates") from None
    return path


def _origin(text: str) -> str:
    url = urlsplit(text)
    if text == "*" or url.scheme not in {"https", "http"} or not url.hostname:
        raise ValueError("must be an origin like https://app.example.com; * is not allowed")
    if text != f"{url.scheme}://{url.netloc}" or url.username or "*" in text:
        raise ValueError("must be an origin: a scheme, a host and a port, nothing after it")
    return text.lower()


def _rate_limits(text: str) -> str:
    try:
        parse_many(text)
    except ValueError:
        raise ValueError("must look like '10 per minute; 200 per day'") from None
    return text


def _storage_url(secret: SecretStr) -> SecretStr:
    if urlsplit(secret.get_secret_value()).scheme not in STORAGE_SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(STORAGE_SCHEMES)} and ://")
    return secret


def _header_safe(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("must be printable ASCII without blanks")
    return secret


def _algorithm(text: str) -> str:
    known = SECRET_ALGORITHMS | PUBLIC_KEY_ALGORITHMS
    if text not in known:
        raise ValueError(f"must be one of {', '.join(sorted(known))}")
    return text


def _prefix(text: str) -> str:
    if not is_legal_prefix(text):
        raise ValueError(f"must be at most {MAX_PREFIX_CHARS} of a-z, 0-9, _ and -")
    return text


Text = Annotated[str, Field(min_length=1, max_length=1000)]
ClaimName = Annotated[str, Field(min_length=1, max_length=200)]
Seconds = Annotated[float, Field(gt=0, le=60)]


class Section(BaseModel):
    """A table of the configuration file: closed, so that a typing mistake is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class CometChatSettings(Section):
    """Which CometChat app, and how to reach it."""

    app_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,20}$")]
    api_key: Annotated[SecretStr, AfterValidator(_header_safe)]
    api_key_file: Path | None = None
    base_url: Annotated[str, AfterValidator(_base_url)] | None = None
    ca_file: Annotated[Path, AfterValidator(_certificates)] | None = None
    connect_timeout_s: Seconds = 1.0
    read_timeout_s: Seconds = 2.0
    total_timeout_s: Seconds = 5.0
    max_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 112

    @property
    def rest_url(self) -> str:
        """Where the REST API is: the app's own host, unless another is set."""
        return self.base_url or f"https://{self.app_id}.api-{self.region}.cometchat.io/v3"


class SessionSettings(Section):
    """One issuer of session tokens: its keys, and what its claims mean."""

    issuer: Text
    audience: Text | Annotated[list[Text], Field(min_length=1)]
    algorithms: Annotated[
        list[Annotated[str, AfterValidator(_algorithm)]],
        Field(min_length=1),
    ]
    secret: SecretStr | None = None
    secret_file: Path | None = None
    public_key_file: Path | None = None
    jwks_file: Path | None = None
    leeway_s: Annotated[float, Field(ge=0, le=120)] = 30.0
    token_types: list[Text] = ["JWT", "at+jwt"]
    uid_claim: ClaimName = "sub"
    uid_prefix: Annotated[str, AfterValidator(_prefix)] = ""
    name_claim: ClaimName | None = "name"
    avatar_claim: ClaimName | None = "picture"
    role_claim: ClaimName | None = None
    tags_claim: ClaimName | None = None
    metadata_claims: list[ClaimName] = []

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences, one or several: a token must name one of them."""
        return frozenset([self.audience] if isinstance(self.audience, str) else self.audience)

    def load_keys(self) -> KeySet:
        """Return the issuer's keys; raises `KeyPolicyError` or `OSError`."""
        if self.secret is not None:
            return key_from_secret(self.secret.get_secret_value().encode(), self.algorithms)
        if self.public_key_file is not None:
            return key_from_pem(self.public_key_file.read_bytes(), self.algorithms)
        if self.jwks_file is not None:
            return keys_from_jwks(self.jwks_file.read_bytes(), self.algorithms)
        raise KeyPolicyError("set exactly one of secret, public_key_file and jwks_file")

    @model_validator(mode="after")
    def _keys_can_be_trusted(self) -> Self:
        sources = (self.secret, self.public_key_file, self.jwks_file)
        if sum(source is not None for source in sources) != 1:
            raise ValueError("set exactly one of secret, public_key_file and jwks_file")
        try:
            self.load_keys()
        except OSError as error:
            raise ValueError(f"the key file cannot be read: {error.strerror}") from None
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


class LimitSettings(Section):
    """How often a user may log in, and where that is counted."""

    per_user: Annotated[str, AfterValidator(_rate_limits)] = "10 per minute; 200 per day"
    storage_url: Annotated[SecretStr, AfterValidator(_storage_url)] = SecretStr("memory://")
    storage_url_file: Path | None = None


class HttpSettings(Section):
    """What browsers and proxies in front of the service are trusted with."""

    allowed_origins: list[Annotated[str, AfterValidator(_origin)]] = []
    trusted_proxies: list[IPvAnyNetwork] = []
    server_timing: bool = False


class AuditSettings(Section):
    """How auth tokens are named in the log."""

    log_key: SecretStr | None = None
    log_key_file: Path | None = None


class ServerSettings(Section):
    """What `tokensvc serve` listens on; other WSGI servers have settings of their own."""

    host: Text = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    threads: Annotated[int, Field(ge=2, le=10_000)] = 128
    backlog: Annotated[int, Field(ge=128, le=65_535)] = 2048


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
    sessions: Annotated[list[SessionSettings], Field(min_length=1)]
    uids: UidSettings = UidSettings()
    provisioning: ProvisioningSettings = ProvisioningSettings()
    limits: LimitSettings = LimitSettings()
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
        yield self.cometchat.api_key.get_secret_value()
        yield from (s.secret.get_secret_value() for s in self.sessions if s.secret)
        if self.audit.log_key:
            yield self.audit.log_key.get_secret_value()
        storage_url = self.limits.storage_url.get_secret_value()
        yield urlsplit(storage_url).password or ""


def prefix_faults(prefixes: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the uid prefixes of several issuers."""
    for first, second in clashing_prefixes(prefixes):
        yield (
            f"uid_prefix {first!r} begins uid_prefix {second!r}: "
            "two issuers could name the same user"
        )
