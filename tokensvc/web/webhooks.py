"""Webhooks: a sender's delivery comes in, and is acknowledged when it is on disk."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter

from tokensvc.domain.deliveries import Delivery
from tokensvc.domain.errors import (
    BodyTooLargeError,
    DeliveryConflictError,
    DeliveryRefusedError,
    OverloadedError,
    RateLimitedError,
    RequestError,
    SourceNotFoundError,
    StorageUnavailableError,
)
from tokensvc.domain.receiving import Receiver
from tokensvc.web.body_places import BodyPlaces
from tokensvc.web.failed_attempts import network_of
from tokensvc.web.openapi import Operation, documented
from tokensvc.web.record import current_record

MAX_BODY_BYTES: Final = 256 * 1024
MAX_BODIES_AT_ONCE: Final = 32
"""Bodies that are waited for in a process: a sender's is there at once."""
MAX_BODIES_OF_ONE: Final = 16
"""Of these, what one source's from one address may be: a stranger shall not hold all."""
NO_STORE: Final = {"Cache-Control": "no-store"}
_CHALLENGE: Final = re.compile(r"[\x21-\x7e]{1,1000}")
_COUNT: Final = {"type": "integer", "minimum": 0}
TAKE_DELIVERY: Final = Operation(
    answer={
        "type": "object",
        "required": ["stored", "ignored"],
        "properties": {
            "stored": {**_COUNT, "description": "Events that are on disk because of it."},
            "ignored": {**_COUNT, "description": "Events that are of no use to CometChat."},
        },
        "additionalProperties": False,
    },
    status=202,
    errors=(
        DeliveryRefusedError,
        SourceNotFoundError,
        DeliveryConflictError,
        BodyTooLargeError,
        RateLimitedError,
        StorageUnavailableError,
        OverloadedError,
    ),
)
ANSWER_CHALLENGE: Final = Operation(
    answer={
        "type": "object",
        "required": ["verification"],
        "properties": {"verification": {"type": "string"}},
        "additionalProperties": False,
    },
    errors=(SourceNotFoundError, RateLimitedError),
    request_headers={"X-Okta-Verification-Challenge": "What the answer must hold."},
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One source's door: who takes its deliveries in, and what its sender wants to hear."""

    receiver: Receiver
    status: int = 202
    challenge_header: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookRoom:
    """What webhooks are made of: an endpoint for each source."""

    endpoints: Mapping[str, Endpoint]

    def find(self, source: str) -> Endpoint:
        """Return the source's endpoint, or raise `SourceNotFoundError`."""
        endpoint = self.endpoints.get(source)
        if endpoint is None:
            raise SourceNotFoundError("source_unknown")
        current_record().webhook_source = source
        return endpoint


def webhooks_blueprint(room: WebhookRoom, limiter: Limiter, *, per_source: str) -> Blueprint:
    """Return the routes that senders of webhooks call."""
    webhooks = Blueprint("webhooks", __name__, url_prefix="/v1")
    body_places = BodyPlaces(MAX_BODIES_AT_ONCE, of_one=MAX_BODIES_OF_ONE)
    whose = _source_and_address(room)
    limited = limiter.limit(per_source, key_func=whose)

    @webhooks.post("/webhooks/<source>")
    @documented(TAKE_DELIVERY)
    @limited
    def take_delivery(source: str) -> ResponseReturnValue:
        """Store what a sender tells of users.

        How a delivery is signed depends on the source's sender. It is acknowledged
        when it is on disk, also if it holds nothing of use; a repetition stores
        nothing. Some senders are answered 200 in the place of 202.
        """
        endpoint = room.find(source)
        record = current_record()
        delivery = Delivery(
            unverified_headers={name.lower(): value for name, value in request.headers},
            unverified_body=_body(body_places, whose()),
            received_at=record.started_at,
        )
        receipt = endpoint.receiver.receive(delivery)
        record.uid = receipt.uid
        record.dropped_claims = receipt.dropped_claims
        record.events_stored, record.events_ignored = receipt.stored, receipt.ignored
        body = {"stored": receipt.stored, "ignored": receipt.ignored}
        return body, endpoint.status, NO_STORE

    @webhooks.get("/webhooks/<source>")
    @documented(ANSWER_CHALLENGE)
    @limited
    def answer_challenge(source: str) -> ResponseReturnValue:
        """Prove to a sender that asks for it that this is the right place."""
        header = room.find(source).challenge_header
        if header is None:
            raise SourceNotFoundError("sender_challenges_nobody")
        challenge = request.headers.get(header, "")
        if not _CHALLENGE.fullmatch(challenge):
            raise RequestError("challenge_malformed")
        return {"verification": challenge}, 200, NO_STORE

    return webhooks


def _source_and_address(room: WebhookRoom) -> Callable[[], str]:
    """Return whose allowance a delivery spends, before anything of it is proven.

    It is counted by the address too, so that a stranger who floods a source spends
    an allowance of their own and not the sender's; and names of no source count as
    one, so that nobody can fill the storage with them.
    """

    def key() -> str:
        g.limited = "source"
        source = (request.view_args or {}).get("source")
        address = current_record().client_address
        network = network_of(address) if address else "unknown"
        return f"{source if source in room.endpoints else '?'}|{network}"

    return key


def _body(places: BodyPlaces, whose: str) -> bytes:
    """Return the body as it came, or refuse it for its size.

    It can be sent as slowly as its sender likes, and the server waits: no more
    threads than there are *places* do that at once.
    """
    request.max_content_length = MAX_BODY_BYTES + 1
    with places.place_of(whose):
        body = request.get_data(cache=False)
    if len(body) > MAX_BODY_BYTES:
        # A body of undeclared length is cut by the framework, not refused.
        raise BodyTooLargeError("body_too_large")
    return body
