"""The REST side's roles: a user's role must have been created before."""

from typing import Any, Final

from tokensvc.emulator import errors
from tokensvc.emulator.call import Answer, Call, Route, a_page
from tokensvc.emulator.validation import parse_new_role, parse_role_changes
from tokensvc.emulator.world import DEFAULT_ROLE

MAX_ROLES: Final = 25


def create_role(call: Call) -> Answer:
    """`POST /roles`."""
    slug, fields = parse_new_role(call.members)
    if slug in call.app.roles:
        raise errors.role_taken(slug)
    if len(call.app.roles) >= MAX_ROLES:
        # Unverified: how the documented limit of 25 is refused.
        raise errors.invalid({"role": [f"The app may not have more than {MAX_ROLES} roles."]})
    call.app.roles[slug] = {"role": slug, **fields, "createdAt": call.world.second()}
    return Answer(dict(call.app.roles[slug]))


def list_roles(call: Call) -> Answer:
    """`GET /roles`: newest first, as in the documented example (else unverified)."""
    return a_page(call, [dict(role) for role in reversed(call.app.roles.values())])


def get_role(call: Call) -> Answer:
    """`GET /roles/{role}`."""
    return Answer(dict(_role(call)))


def update_role(call: Call) -> Answer:
    """`PUT /roles/{role}`."""
    fields, unset = parse_role_changes(call.members)
    role = _role(call)
    role.update(fields, updatedAt=call.world.second())
    for name in unset:
        role.pop(name, None)
    return Answer(dict(role))


def delete_role(call: Call) -> Answer:
    """`DELETE /roles/{role}`: its users fall back to the default role (unverified)."""
    role = _role(call)
    if role["role"] == DEFAULT_ROLE:
        raise errors.role_kept()
    del call.app.roles[role["role"]]
    for user in call.app.users.values():
        if user.fields["role"] == role["role"]:
            user.fields["role"] = DEFAULT_ROLE
    message = f"Role {role['role']} has been deleted successfully."
    return Answer({"success": True, "message": message})


def _role(call: Call) -> dict[str, Any]:
    role = call.app.roles.get(call.path["role"].lower())
    if role is None:
        raise errors.role_unknown(call.path["role"])
    return role


ROUTES = [
    Route("rest", "POST", "roles", create_role),
    Route("rest", "GET", "roles", list_roles),
    Route("rest", "GET", "roles/{role}", get_role),
    Route("rest", "PUT", "roles/{role}", update_role),
    Route("rest", "DELETE", "roles/{role}", delete_role),
]
