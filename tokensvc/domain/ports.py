"""What the domain needs from outside, and what each failure means."""

from typing import Protocol

from tokensvc.domain.model import AuthToken, ChatUser, Session, Uid


class SessionVerifier(Protocol):
    """Tells who is calling from the session token they carry."""

    def verify(self, unverified_token: str) -> Session:
        """Return what *unverified_token* proves.

        Raises `SessionExpiredError` for a token that is good but for its age,
        `SessionError` for any other that is refused, `UidNotAllowedError` for a
        good one whose subject cannot be a uid, and `KeysUnavailableError` while
        its issuer's keys are not at hand: nothing is known about the token then.
        Opens no connection, and waits for none.
        """


class ChatDirectory(Protocol):
    """CometChat's set of users.

    Every method may raise `DirectoryUnavailableError` (nothing is known to have
    happened; try later) and `DirectoryMisconfiguredError` (trying again does not
    help before an operator changes something).
    """

    def create_auth_token(self, uid: Uid) -> AuthToken:
        """Return a fresh auth token; the older ones stay valid.

        Raises `UserNotFoundError` if there is no such user or it is deactivated.
        """

    def create_user(self, user: ChatUser) -> AuthToken | None:
        """Create *user* and return its first auth token, if one came with the answer.

        Raises `UserExistsError` if the uid is taken, also by a deactivated user,
        and `UserQuotaReachedError` if there is no room for one more.
        """

    def reactivate_user(self, uid: Uid) -> None:
        """Make a deactivated user live again; for any other nothing happens."""
