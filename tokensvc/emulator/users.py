"""The REST side's users: create, look up, change, deactivate, restore, delete, import."""

from collections.abc import Mapping
from typing import Any, Final

from tokensvc.emulator import errors
from tokensvc.emulator.call import Answer, Call, Route, a_page
from tokensvc.emulator.errors import APIError
from tokensvc.emulator.validation import (
    parse_changes,
    parse_flag,
    parse_import_row,
    parse_new_user,
    parse_uids,
)
from tokensvc.emulator.world import User

MAX_IMPORT: Final = 50
MAX_IMPORT_BODY_BYTES: Final = 1024 * 1024


def create_user(call: Call) -> Answer:
    """`POST /users`.

    Unverified, with the switch for arrays: the shape of the answer, and that those
    before a faulty one are created all the same.
    """
    if isinstance(call.body, list) and call.switches.array_body_on_create:
        return Answer([_create(call, item) for item in call.body])
    return Answer(_create(call, call.members))


def _create(call: Call, body: Any) -> dict[str, Any]:  # noqa: ANN401 (whatever the JSON held)
    body = body if isinstance(body, dict) else {}
    uid, fields = parse_new_user(body, call.switches.max_metadata_bytes)
    user = call.world.create_user(call.app, uid, fields)
    shown = user.public()
    if body.get("withAuthToken") is True and call.switches.token_with_new_user:
        shown["authToken"] = call.world.mint_token(call.app, user.uid).value
    return shown


def list_users(call: Call) -> Answer:
    """`GET /users`: newest first, deactivated ones only if asked for."""
    query = call.query
    roles = _names(query, "role") | _names(query, "roles")
    tags = _names(query, "tags")
    columns = _names(query, "searchIn") or {"uid", "name"}
    with_tags = _is_true(query.get("withTags"))
    found = [
        user.public(with_tags=with_tags)
        for user in reversed(call.app.users.values())
        if _is_wanted(user, query.get("onlyDeactivated"), query.get("withDeactivated"))
        and _begins(user, query.get("searchKey", ""), columns)
        and (not roles or user.fields["role"] in roles)
        and (not tags or tags & set(user.fields.get("tags", [])))
        and query.get("status", "offline") == "offline"
    ]
    page = a_page(call, found)
    if not page.data:
        return page
    # Unverified: what the cursor counts from.
    newest = page.data[0].get("updatedAt", page.data[0]["createdAt"])
    return Answer(page.data, {**page.beside, "cursor": {"updatedAt": newest, "affix": "prepend"}})


def _names(query: Mapping[str, str], parameter: str) -> set[str]:
    return {name for name in query.get(parameter, "").split(",") if name}


def _is_wanted(user: User, only_deactivated: str | None, with_deactivated: str | None) -> bool:
    deactivated = user.deactivated_at is not None
    if _is_true(only_deactivated):
        return deactivated
    return not deactivated or _is_true(with_deactivated)


def _begins(user: User, key: str, columns: set[str]) -> bool:
    """Match as `LIKE key%` does, on uid, name or both."""
    texts = {"uid": user.uid, "name": str(user.fields.get("name", "")).lower()}
    return any(texts[name].startswith(key.lower()) for name in columns & set(texts))


def _is_true(text: str | None) -> bool:
    return text in {"1", "true"}


def get_user(call: Call) -> Answer:
    """`GET /users/{uid}`, tags included (unverified: the documented example has none)."""
    return Answer(call.app.live_user(call.path["uid"]).public())


def update_user(call: Call) -> Answer:
    """`PUT /users/{uid}`: what is named is replaced (unverified for tags and metadata)."""
    fields, unset = parse_changes(call.members, call.switches.max_metadata_bytes)
    user = call.app.live_user(call.path["uid"])
    if "role" in fields:
        fields["role"] = str(fields["role"]).lower()
        if fields["role"] not in call.app.roles:
            raise errors.role_unknown(fields["role"])
    user.fields.update(fields)
    for name in unset:
        user.fields.pop(name, None)
    user.updated_at = call.world.second()
    return Answer(user.public())


def delete_user(call: Call) -> Answer:
    """`DELETE /users/{uid}`: deactivates, unless the body says `"permanent": true`.

    Unverified: that a deactivated user is unknown here too, and so can only be
    deleted for ever after a restoration.
    """
    permanent = parse_flag(call.members, "permanent")
    if permanent is None and call.switches.permanent_in_query:
        permanent = _is_true(call.query.get("permanent"))
    user = call.app.live_user(call.path["uid"])
    if permanent:
        call.app.forget(user.uid)
        message = f"User with {user.uid} has been deleted successfully."
        return Answer({"success": True, "message": message})
    user.deactivated_at = call.world.second()
    return Answer({"deactivatedUids": [user.uid]})


def deactivate_users(call: Call) -> Answer:
    """`DELETE /users`: in bulk; unknown ones are named as the caller spelled them."""
    groups: dict[str, list[str]] = {}
    for spelled in parse_uids(call.members, "uidsToDeactivate"):
        user = call.app.users.get(spelled.lower())
        if user is None:
            groups.setdefault("notFound", []).append(spelled)
        elif user.deactivated_at is not None:
            groups.setdefault("alreadyDeactivatedUids", []).append(user.uid)
        else:
            user.deactivated_at = call.world.second()
            groups.setdefault("deactivatedUids", []).append(user.uid)
    return Answer(groups)


def reactivate_users(call: Call) -> Answer:
    """`PUT /users`: in bulk; the old tokens of a restored user work again."""
    groups: dict[str, list[str]] = {}
    for spelled in parse_uids(call.members, "uidsToActivate"):
        user = call.app.users.get(spelled.lower())
        if user is None:
            groups.setdefault("notFound", []).append(spelled)
        elif user.deactivated_at is None:
            groups.setdefault("nonDeactivatedUids", []).append(user.uid)
        else:
            user.deactivated_at = None
            groups.setdefault("reactivatedUids", []).append(user.uid)
    return Answer(groups)


def import_users(call: Call) -> Answer:
    """`POST /data_import/users`: up to 50, each with a result of its own.

    Unverified: how more of them are refused.
    """
    users = call.members.get("users")
    if not isinstance(users, dict) or not users:
        raise errors.import_malformed()
    if len(users) > MAX_IMPORT:
        raise errors.invalid({"users": [f"The users may not have more than {MAX_IMPORT} items."]})
    return Answer({uid: _import(call, uid, row) for uid, row in users.items()})


def _import(call: Call, uid: str, row: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON again)
    try:
        if not isinstance(row, dict):
            raise errors.import_malformed()
        spelled, fields = parse_import_row({"uid": uid, **row}, call.switches.max_metadata_bytes)
        if spelled.lower() != uid.lower():
            # Unverified: what the vendor makes of a row that contradicts its key.
            raise errors.invalid({"uid": ["The uid must equal its key."]})
        user = call.world.create_user(call.app, spelled, fields)
    except APIError as error:
        return {"success": False, **error.envelope()}
    return {"success": True, "data": user.public()}


CREATORS = frozenset({"fullAccess", "authOnly"})
ROUTES = [
    Route("rest", "POST", "users", create_user, rate_class="core", scopes=CREATORS),
    Route("rest", "GET", "users", list_users),
    Route("rest", "DELETE", "users", deactivate_users, rate_class="core"),
    Route("rest", "PUT", "users", reactivate_users),
    Route("rest", "GET", "users/{uid}", get_user),
    Route("rest", "PUT", "users/{uid}", update_user),
    Route("rest", "DELETE", "users/{uid}", delete_user, rate_class="core"),
    Route(
        *("rest", "POST", "data_import/users", import_users),
        rate_class="import",
        max_body_bytes=MAX_IMPORT_BODY_BYTES,
    ),
]
