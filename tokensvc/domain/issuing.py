"""Issuing: a verified session in, a fresh CometChat auth token out."""

from dataclasses import dataclass, replace

from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    UserDeactivatedError,
    UserExistsError,
    UserNotFoundError,
)
from tokensvc.domain.model import AuthToken, ChatUser, IssuedToken, Session
from tokensvc.domain.ports import ChatDirectory


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What a new user gets when the session's claims say nothing about it."""

    default_role: str | None = None
    default_tags: tuple[str, ...] = ()
    reactivate_on_login: bool = False

    def complete(self, user: ChatUser) -> ChatUser:
        """Return *user* with every gap filled; a user without a name goes by the uid."""
        profile = replace(
            user.profile,
            name=user.profile.name or user.uid,
            role=user.profile.role or self.default_role,
            tags=user.profile.tags or self.default_tags,
        )
        return replace(user, profile=profile)


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Hands out auth tokens, and creates the users that are missing."""

    directory: ChatDirectory
    provisioning: Provisioning = Provisioning()

    def issue(self, session: Session) -> IssuedToken:
        """Return a fresh auth token for the session's user.

        Asks for the token first: after the first login the user exists, and one
        call is cheaper than two.
        """
        try:
            return self._token_for(session.user)
        except UserNotFoundError:
            return self._provision(session.user)

    def _token_for(self, user: ChatUser) -> IssuedToken:
        return IssuedToken(self.directory.create_auth_token(user.uid), user_created=False)

    def _provision(self, user: ChatUser) -> IssuedToken:
        try:
            token = self.directory.create_user(self.provisioning.complete(user))
        except UserExistsError:
            return self._token_for_known(user)
        return IssuedToken(token or self._token_of_newborn(user), user_created=True)

    def _token_of_newborn(self, user: ChatUser) -> AuthToken:
        """Ask for the token that did not come with the new user."""
        try:
            return self.directory.create_auth_token(user.uid)
        except UserNotFoundError:
            raise DirectoryUnavailableError(reason="new_user_not_found") from None

    def _token_for_known(self, user: ChatUser) -> IssuedToken:
        """Try again for a user who is missing for one call and taken for the next.

        Either another login has just created it, or it is deactivated: CometChat
        has no third word for that.
        """
        try:
            return self._token_for(user)
        except UserNotFoundError:
            return self._reactivate(user)

    def _reactivate(self, user: ChatUser) -> IssuedToken:
        if not self.provisioning.reactivate_on_login:
            raise UserDeactivatedError(reason="user_deactivated")
        self.directory.reactivate_user(user.uid)
        try:
            return self._token_for(user)
        except UserNotFoundError:
            raise DirectoryUnavailableError(reason="user_not_reactivated") from None
