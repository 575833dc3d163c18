"""The senders that can be chosen: a new one is its file, and a line here."""

from collections.abc import Mapping
from typing import Final

from tokensvc.adapters.senders.auth0 import AUTH0
from tokensvc.adapters.senders.clerk import CLERK
from tokensvc.adapters.senders.fusionauth import FUSIONAUTH
from tokensvc.adapters.senders.keycloak import KEYCLOAK
from tokensvc.adapters.senders.kind import SenderKind
from tokensvc.adapters.senders.kinde import KINDE
from tokensvc.adapters.senders.logto import LOGTO
from tokensvc.adapters.senders.okta import OKTA
from tokensvc.adapters.senders.standard import STANDARD
from tokensvc.adapters.senders.stytch import STYTCH
from tokensvc.adapters.senders.supabase_auth import SUPABASE_AUTH
from tokensvc.adapters.senders.supabase_db import SUPABASE_DB
from tokensvc.adapters.senders.workos import WORKOS

SENDERS: Final[Mapping[str, SenderKind]] = {
    "standard": STANDARD,
    "clerk": CLERK,
    "stytch": STYTCH,
    "auth0": AUTH0,
    "workos": WORKOS,
    "supabase-auth": SUPABASE_AUTH,
    "supabase-db": SUPABASE_DB,
    "keycloak": KEYCLOAK,
    "fusionauth": FUSIONAUTH,
    "kinde": KINDE,
    "logto": LOGTO,
    "okta": OKTA,
}
