"""Where the vendor's sources disagree or are silent: which answer the emulator gives."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Switches:
    """Every default is the stricter or better documented reading; all are unverified."""

    permanent_in_query: bool = False
    """Whether `DELETE /users/{uid}?permanent=true` deletes for ever, as one page says."""
    array_body_on_create: bool = False
    """Whether `POST /users` takes an array, as one page shows under batch import."""
    auth_only_creates_users: bool = True
    """Whether a key of scope authOnly may create users; the sources are divided."""
    reuse_token_without_force: bool = False
    """Whether a token request without `"force": true` returns the newest live token again."""
    token_with_new_user: bool = True
    """Whether `withAuthToken` on a creation is honoured."""
    rate_headers: Literal["both", "X-Rate-Limit", "X-RateLimit"] = "both"
    """Which of the two documented families of rate limit headers is sent."""
    core_per_minute: int = 10_000
    """Creating and deleting users, and (unverified) creating auth tokens; 500 on the free plan."""
    standard_per_minute: int = 20_000
    """Everything else; 500 on the free plan."""
    import_per_minute: int = 60
    max_users: int | None = None
    """With a number: one more user is refused with 402, deactivated ones count."""
    tokens_per_user: int = 100
    """Older tokens than these are archived, and no longer valid."""
    max_metadata_bytes: int = 5 * 1024
    """Newer pages say 5 KB, older ones 1,600 characters."""
    logout_ends_token: bool = True
    """Whether the client's `DELETE /me` ends the token that it came with."""
