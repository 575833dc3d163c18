"""CometChat's users, to be kept in step: look up, list, change, deactivate, delete, import."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tokensvc.adapters.cometchat import (
    ERRORS,
    CometChatClient,
    data_of,
    envelope_of,
    meaning_of,
    members_of,
    request,
    user_fields,
)
from tokensvc.adapters.http_client import MAX_ANSWER_BYTES, HTTPAnswer
from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    TokenServiceError,
    UserExistsError,
    UserNotFoundError,
)
from tokensvc.domain.model import AuthToken, ChatUser, Profile, Uid
from tokensvc.domain.ports import DirectoryUser
from tokensvc.domain.uids import is_uid

PAGE_USERS: Final = 96
"""Halved, down to 3, while an answer is too large: a user may take from 200 bytes to 30 KB."""
MIN_PAGE_USERS: Final = 3
MAX_IMPORT: Final = 50
ROW_OVERHEAD_BYTES: Final = 1024
"""What an answer may say of an imported user beside what was sent."""
ROW_CODES: Final = frozenset({*ERRORS, "ERR_IMPORT_INVALID_USER_FORMAT"})
UNSETTABLE: Final = ("avatar", "metadata")
"""`link` could be unset as well, but none is ever set from here: it is somebody else's."""


@dataclass(frozen=True, slots=True)
class CometChatUsers:
    """`UserDirectory` over the REST API. Makes its calls through *client*."""

    client: CometChatClient

    def create_auth_token(self, uid: Uid) -> AuthToken:
        return self.client.create_auth_token(uid)

    def create_user(self, user: ChatUser) -> AuthToken | None:
        return self.client.create_user(user)

    def reactivate_user(self, uid: Uid) -> None:
        self.client.reactivate_user(uid)

    def find_user(self, uid: Uid) -> ChatUser | None:
        call = request("find_user", "GET", f"/users/{uid}")
        try:
            data = self.client.ask(call, lambda answer: data_of(answer, UserNotFoundError))
        except UserNotFoundError:
            return None
        return _demand_same(_user(data), uid)

    def demand_access(self) -> None:
        """Return if our key may read users, which takes its full scope; raise what it may not."""
        self.client.ask(request("list_users", "GET", "/users?perPage=1&page=1"), _rows)

    def list_users(self) -> Iterator[DirectoryUser]:
        """Walk the pages until an empty one: the totals in the answers are not to be trusted.

        Newest come first, so that somebody created meanwhile moves the others on:
        a user may be seen twice, and is then passed over.
        """
        seen: set[str] = set()
        for row in self._rows_of_all():
            user = _user(row)
            # A uid that nobody here could have made belongs to somebody else.
            if user and user.uid not in seen:
                seen.add(user.uid)
                yield DirectoryUser(user, is_deactivated=bool(row.get("deactivatedAt")))

    def _rows_of_all(self) -> Iterator[dict[str, object]]:
        page, page_users = 1, PAGE_USERS
        while True:
            query = f"perPage={page_users}&page={page}&withTags=true&withDeactivated=true"
            try:
                rows = self.client.ask(request("list_users", "GET", f"/users?{query}"), _rows)
            except DirectoryUnavailableError as error:
                if error.reason != "answer_too_large" or page_users == MIN_PAGE_USERS:
                    raise
                # The same place in the list, as a page half as long.
                page, page_users = 2 * page - 1, page_users // 2
                continue
            if not rows:
                return
            yield from rows
            page += 1

    def add_user(self, user: ChatUser) -> None:
        call = request("add_user", "POST", "/users", user_fields(user))
        data = self.client.ask(call, lambda answer: data_of(answer, UserExistsError))
        _demand_same(_user(data), user.uid)

    def update_user(self, user: ChatUser) -> None:
        fields = user_fields(user)
        del fields["uid"]
        unset = [name for name in UNSETTABLE if name not in fields]
        body = {**fields, "unset": unset} if unset else fields
        call = request("update_user", "PUT", f"/users/{user.uid}", body)
        data = self.client.ask(call, lambda answer: data_of(answer, UserNotFoundError))
        _demand_same(_user(data), user.uid)

    def deactivate_user(self, uid: Uid) -> bool:
        # In bulk, because for a user who is missing or deactivated that is no error.
        call = request("deactivate_user", "DELETE", "/users", {"uidsToDeactivate": [uid]})
        missing = self.client.ask(call, data_of).get("notFound")
        return not (isinstance(missing, list) and uid in missing)

    def delete_user(self, uid: Uid) -> None:
        """Delete; one who is not found may be deactivated, and has to be live for it (unverified).

        In the body alone: as a query parameter, which one page shows, it might be
        ignored, and the user merely be deactivated. Where it cannot be done now, the
        user is at least deactivated: this try or the one before may have made them live.
        """
        try:
            self._delete(uid)
        except TokenServiceError:
            with suppress(TokenServiceError):
                self.deactivate_user(uid)
            raise

    def _delete(self, uid: Uid) -> None:
        if self._delete_live(uid):
            return
        self.reactivate_user(uid)
        self._delete_live(uid)

    def _delete_live(self, uid: Uid) -> bool:
        call = request("delete_user", "DELETE", f"/users/{uid}", {"permanent": True})
        try:
            self.client.ask(call, lambda answer: data_of(answer, UserNotFoundError))
        except UserNotFoundError:
            return False
        return True

    def flush_tokens(self, uid: Uid) -> None:
        call = request("flush_tokens", "DELETE", f"/users/{uid}/auth_tokens")
        try:
            self.client.ask(call, lambda answer: data_of(answer, UserNotFoundError))
        except UserNotFoundError:
            return

    def import_users(self, users: Sequence[ChatUser]) -> Mapping[Uid, str]:
        results: dict[Uid, str] = {}
        for rows in _requests(users):
            call = request("import_users", "POST", "/data_import/users", {"users": rows})
            call.has_own_limit = True
            data = self.client.ask(call, _import_results)
            results.update({Uid(uid): _row_result(data.get(uid)) for uid in rows})
        return results


def _rows(answer: HTTPAnswer) -> list[dict[str, object]]:
    data = envelope_of(answer).get("data")
    if not answer.is_success or not isinstance(data, list):
        raise meaning_of(None, answer)
    return [row for row in data if isinstance(row, dict)]


def _user(row: Mapping[str, object]) -> ChatUser | None:
    """Return the user that an answer describes, or None where the uid is none of ours."""
    uid = row.get("uid")
    if not isinstance(uid, str) or not is_uid(uid):
        return None
    tags, metadata = row.get("tags"), row.get("metadata")
    return ChatUser(
        Uid(uid),
        Profile(
            name=_text(row.get("name")),
            avatar=_text(row.get("avatar")),
            role=_text(row.get("role")),
            tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
            metadata=metadata if isinstance(metadata, dict) else {},
        ),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _demand_same(user: ChatUser | None, uid: Uid) -> ChatUser:
    if user is None or user.uid != uid:
        raise DirectoryUnavailableError("answer_for_another_uid")
    return user


def _requests(users: Sequence[ChatUser]) -> Iterator[dict[str, dict[str, object]]]:
    """Yield the rows of one request after the other: at most 50, and an answer that can be read.

    Each row is answered with the user in it, at worst with every character escaped:
    as `json.dumps` does it, and the slashes too.
    """
    rows: dict[str, dict[str, object]] = {}
    size = 0
    for user in users:
        fields = user_fields(user)
        text = json.dumps(fields)
        row_size = len(text) + text.count("/") + ROW_OVERHEAD_BYTES
        if rows and (len(rows) == MAX_IMPORT or size + row_size > MAX_ANSWER_BYTES):
            yield rows
            rows, size = {}, 0
        rows[user.uid] = fields
        size += row_size
    if rows:
        yield rows


def _import_results(answer: HTTPAnswer) -> Mapping[str, object]:
    """Return the rows, whatever the status: a 500 may tell of some that were imported."""
    data = members_of(answer).get("data")
    rows = data if isinstance(data, dict) else {}
    if any(isinstance(row, dict) and "success" in row for row in rows.values()):
        return rows
    return data_of(answer)


def _row_result(row: object) -> str:
    """Return "ok" or a code from the vendor's published list."""
    if not isinstance(row, dict):
        return "answer_without_row"
    if row.get("success") is True:
        return "ok"
    error = row.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) and code in ROW_CODES else "row_not_understood"
