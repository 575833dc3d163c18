"""Issuing: a verified session in, a fresh CometChat auth token out."""

from dataclasses import dataclass, replace

from tokensvc.domain.accounts import Account, AccountState
from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    UserDeactivatedError,
    UserDeletedError,
    UserExistsError,
    UserNotFoundError,
    UserSuspendedError,
)
from tokensvc.domain.lifecycle import with_claims
from tokensvc.domain.model import (
    AuthToken,
    ChatUser,
    IssuedToken,
    Login,
    LoginObserver,
    Session,
)
from tokensvc.domain.ports import Accounts, ChatDirectory


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
    """Hands out auth tokens, and creates the users that are missing.

    Without *accounts* nobody is known to be deleted or suspended. *observe* is told
    of each login that got a token; it never raises and never waits.
    """

    directory: ChatDirectory
    provisioning: Provisioning = Provisioning()
    accounts: Accounts | None = None
    observe: LoginObserver = lambda _: None

    def issue(self, session: Session) -> IssuedToken:
        """Return a fresh auth token for the session's user.

        Asks for the token first: after the first login the user exists, and one
        call is cheaper than two. Only for a user who is missing is it asked what
        has become of them; while that cannot be known, nobody is created.
        """
        try:
            token = self.directory.create_auth_token(session.user.uid)
        except UserNotFoundError:
            return self._admit(session)
        self.observe(Login(session))
        return IssuedToken(token, user_created=False)

    def _admit(self, session: Session) -> IssuedToken:
        """Let in a user who is missing at CometChat, if the app has not shut them out."""
        account = self.accounts.find(session.user.uid) if self.accounts else None
        if account is None:
            return self._provision(Login(session), session.user)
        self._demand_welcome(account, session)
        # Whose deactivation is older than the session comes back, there and in the account.
        login = Login(session, has_reactivated=account.deactivated.is_on)
        return self._provision(login, _newest_user(account, session))

    def _demand_welcome(self, account: Account, session: Session) -> None:
        """Refuse whom the app has shut out: no login undoes what is newer than its session."""
        if account.state in {AccountState.DELETING, AccountState.DELETED}:
            raise UserDeletedError(reason="user_deleted")
        if account.state is AccountState.SUSPENDED:
            raise UserSuspendedError(reason="user_suspended")
        if account.state is AccountState.DEACTIVATED:
            is_newer = session.is_newer_than(account.deactivated.version)
            if not (is_newer and self.provisioning.reactivate_on_login):
                raise UserDeactivatedError(reason="user_deactivated")

    def _provision(self, login: Login, user: ChatUser) -> IssuedToken:
        try:
            token = self.directory.create_user(self.provisioning.complete(user))
        except UserExistsError:
            return self._token_for_known(login)
        token = token or self._token_of_newborn(user)
        self.observe(replace(login, has_created=True))
        return IssuedToken(token, user_created=True)

    def _token_of_newborn(self, user: ChatUser) -> AuthToken:
        """Ask for the token that did not come with the new user."""
        try:
            return self.directory.create_auth_token(user.uid)
        except UserNotFoundError:
            raise DirectoryUnavailableError(reason="new_user_not_found") from None

    def _token_for_known(self, login: Login) -> IssuedToken:
        """Try again for a user who is missing for one call and taken for the next.

        Either another login has just created it, or it is deactivated: CometChat
        has no third word for that.
        """
        try:
            token = self.directory.create_auth_token(login.session.user.uid)
        except UserNotFoundError:
            return self._reactivate(login)
        self.observe(login)
        return IssuedToken(token, user_created=False)

    def _reactivate(self, login: Login) -> IssuedToken:
        if not self.provisioning.reactivate_on_login:
            raise UserDeactivatedError(reason="user_deactivated")
        uid = login.session.user.uid
        self.directory.reactivate_user(uid)
        try:
            token = self.directory.create_auth_token(uid)
        except UserNotFoundError:
            raise DirectoryUnavailableError(reason="user_not_reactivated") from None
        self.observe(replace(login, has_reactivated=True))
        return IssuedToken(token, user_created=False)


def _newest_user(account: Account, session: Session) -> ChatUser:
    """Return how the user looks by the newest word on each field: the app's, or the session's."""
    profile = with_claims(account, session.user.profile, session.version).profile
    return replace(session.user, profile=profile)
