"""The settings of webhooks: who sends, how that is proven, and whose users they are."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, SecretStr, model_validator

from tokensvc import settings_checks as checks
from tokensvc.adapters.key_sets import KeyPolicyError, keys_from_jwks
from tokensvc.adapters.senders.kind import SenderKind, Terms, WebhookSender
from tokensvc.adapters.senders.registry import SENDERS
from tokensvc.adapters.signatures.proof import TermsError
from tokensvc.domain.account_book import IMPORT, OPERATOR
from tokensvc.domain.accounts import LOGIN
from tokensvc.domain.profiles import ClaimPath, ProfileClaims, parse_claim_path
from tokensvc.domain.syncing import DUE
from tokensvc.settings_sections import CLOSED, ClaimName, Text

OWN_SOURCES: Final = frozenset({LOGIN, IMPORT, OPERATOR, DUE})
"""Names of sources of events that are no webhooks."""
PUBLIC_KEY_MARK: Final = "whpk_"
DEFAULT_ALGORITHM: Final = "RS256"


def _sender(name: str) -> str:
    if name not in SENDERS:
        raise ValueError(f"must be one of {', '.join(SENDERS)}")
    return name


def _source(name: str) -> str:
    if name in OWN_SOURCES:
        raise ValueError(f"must be none of {', '.join(sorted(OWN_SOURCES))}")
    return name


class WebhookOptions(BaseModel):
    """What only some senders leave open; what it says nothing to is a fault."""

    model_config = CLOSED

    scheme: Literal["bearer", "basic", "header"] | None = None
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] | None = None
    digest: Literal["sha256", "sha1"] | None = None
    jwks_file: Path | None = None
    algorithms: Annotated[
        list[Annotated[str, AfterValidator(checks.algorithm)]], Field(max_length=10)
    ] = []
    audience: Text | None = None
    entities: Annotated[list[Text], Field(max_length=20)] = []

    def given(self) -> frozenset[str]:
        """Return the names of the options that are set."""
        return frozenset(name for name, value in self.model_dump().items() if value)


class WebhookSettings(BaseModel):
    """One source of webhooks."""

    model_config = CLOSED

    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"), AfterValidator(_source)]
    sender: Annotated[str, AfterValidator(_sender)]
    issuer: Text
    secrets: Annotated[list[SecretStr], Field(max_length=8)] = []
    secrets_file: Path | None = None
    suspends: bool = True
    options: WebhookOptions = WebhookOptions()
    uid_claim: ClaimName | None = None
    name_claim: ClaimName | None = None
    avatar_claim: ClaimName | None = None
    role_claim: ClaimName | None = None
    tags_claim: ClaimName | None = None
    metadata_claims: list[ClaimName] = []
    _files: checks.ReadOnce = PrivateAttr(default_factory=checks.ReadOnce)

    @property
    def kind(self) -> SenderKind:
        """What is known of the sender."""
        return SENDERS[self.sender]

    @property
    def uid_path(self) -> ClaimPath:
        """Where a user's subject stands."""
        return parse_claim_path(self.uid_claim or self.kind.claims.uid)

    def profile_claims(self) -> ProfileClaims:
        """Return where a user's profile stands: as it is set, else as the sender has it."""
        usual = self.kind.claims
        return ProfileClaims(
            name=_path(self.name_claim or usual.name),
            avatar=_path(self.avatar_claim or usual.avatar),
            role=_path(self.role_claim or usual.role),
            tags=_path(self.tags_claim or usual.tags),
            metadata={path[-1]: path for path in map(parse_claim_path, self.metadata_claims)},
        )

    def load_sender(self) -> WebhookSender:
        """Return the sender on these terms; raises `TermsError`, `KeyPolicyError` or `OSError`."""
        useless = sorted(self.options.given() - self.kind.takes)
        if useless:
            names = ", ".join(f"options.{name}" for name in useless)
            raise TermsError(f"the sender {self.sender} takes no {names}")
        if self.secrets and self.options.jwks_file:
            raise TermsError("set secrets or options.jwks_file, not both")
        return self.kind.agree(self.terms())

    def secret_values(self) -> Iterator[str]:
        """Yield every text that would open this source, in each spelling that can travel."""
        for secret in self.secrets:
            text = secret.get_secret_value()
            yield text
            yield from (part for part in self.kind.split_secrets(text) if part != text)
            if self.options.scheme == "basic":
                yield b64encode(text.encode()).decode("ascii")

    def terms(self) -> Terms:
        """Return what proves the source's deliveries; raises `KeyPolicyError` or `OSError`."""
        options = self.options
        algorithms = frozenset(options.algorithms)
        file = options.jwks_file
        if file and not algorithms:
            algorithms = frozenset({DEFAULT_ALGORITHM})
        return Terms(
            secrets=tuple(secret.get_secret_value() for secret in self.secrets),
            key_sets=(keys_from_jwks(self._files.read(file), algorithms),) if file else (),
            algorithms=algorithms,
            options={
                name: value.lower() if name == "header" else value
                for name in ("scheme", "header", "digest", "audience")
                if (value := getattr(options, name)) is not None
            },
            entities=frozenset(options.entities),
        )

    @model_validator(mode="after")
    def _sender_can_be_believed(self) -> Self:
        file = self.options.jwks_file
        if self.secrets_file and not self.secrets:
            # What is wrong with the file is a fault of its own.
            return self
        try:
            self.load_sender()
        except OSError as error:
            raise ValueError(f"{file}: cannot be read: {error.strerror}") from None
        except KeyPolicyError as error:
            raise ValueError(f"{file}: {error}") from None
        except TermsError as error:
            raise ValueError(str(error)) from None
        return self


def _path(claim: str | None) -> ClaimPath | None:
    return parse_claim_path(claim) if claim else None
