"""Discovery: an issuer's OpenID configuration in, the URL of its key set out."""

from typing import Final
from urllib.parse import urlsplit

from tokensvc.adapters.key_sets import KeyPolicyError
from tokensvc.adapters.key_urls import is_loopback, parse_key_url
from tokensvc.domain.strict_json import JSONError, parse_json_object

WELL_KNOWN: Final = "/.well-known/openid-configuration"


def configuration_url(issuer: str) -> str:
    """Return where *issuer* describes itself (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.rstrip("/") + WELL_KNOWN


def parse_jwks_uri(configuration: bytes, issuer: str) -> str:
    """Return the `jwks_uri` of an OpenID configuration; raises `KeyPolicyError`.

    The configuration must be of the very issuer that is configured (section 4.3),
    or one tenant of a provider could describe another. A configuration from
    elsewhere cannot name this machine.
    """
    try:
        members = parse_json_object(configuration)
    except JSONError:
        raise KeyPolicyError("the OpenID configuration is no JSON object") from None
    if members.get("issuer") != issuer:
        raise KeyPolicyError("the OpenID configuration is of another issuer")
    try:
        url = parse_key_url(str(members.get("jwks_uri")))
    except ValueError:
        raise KeyPolicyError("the jwks_uri of the OpenID configuration is no https URL") from None
    if url.startswith("http:") and not issuer.startswith("http:"):
        raise KeyPolicyError("the jwks_uri of the OpenID configuration is not https")
    if is_loopback(urlsplit(url).hostname) and not is_loopback(urlsplit(issuer).hostname):
        raise KeyPolicyError("the jwks_uri of the OpenID configuration is on this machine")
    return url
