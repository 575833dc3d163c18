"""Webhooks: a sender's delivery comes in, and is acknowledged when it is on disk."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter

from tokensvc.domain.deliveries import Delivery, Heading
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
from tokensvc.web.body_places import DeliveryPlaces, read_body
from tokensvc.web.failed_attempts import network_of
from tokensvc.web.openapi import Operation, documented
from tokensvc.web.record import current_record

MAX_BODY_BYTES: Final = 256 * 1024
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
    bodies_at_once: int
    """How many threads may wait for bodies."""

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
    places = DeliveryPlaces(room.bodies_at_once)
    limited = limiter.limit(per_source, key_func=_source_and_network(room))

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
        headers = {name.lower(): value for name, value in request.headers}
        if endpoint.receiver.admit(Heading(headers, record.started_at)):
            places.remember(_network())
        with places.place_of(_network()):
            body = _body()
        receipt = endpoint.receiver.receive(Delivery(headers, record.started_at, body))
        places.remember(_network())
        record.uid = receipt.uid
        record.dropped_claims = receipt.dropped_claims
        record.events_stored, record.events_ignored = receipt.stored, receipt.ignored
        answer = {"stored": receipt.stored, "ignored": receipt.ignored}
        return answer, endpoint.status, NO_STORE

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


def _network() -> str:
    """Return where the request is from, as wide as one customer is."""
    address = current_record().client_address
    return network_of(address) if address else "unknown"


def _source_and_network(room: WebhookRoom) -> Callable[[], str]:
    """Return whose allowance a delivery spends, before anything of it is proven.

    It is counted by the address too, so that a stranger who floods a source spends
    an allowance of their own and not the sender's; and names of no source count as
    one, so that nobody can fill the storage with them.
    """

    def key() -> str:
        g.limited = "source"
        source = (request.view_args or {}).get("source")
        return f"{source if source in room.endpoints else '?'}|{_network()}"

    return key


def _body() -> bytes:
    """Return the body as it came, or refuse it for its size.

    It can be sent as slowly as its sender likes, and the server waits.
    """
    request.max_content_length = MAX_BODY_BYTES + 1
    body = read_body()
    if len(body) > MAX_BODY_BYTES:
        # A body of undeclared length is cut by the framework, not refused.
        raise BodyTooLargeError("body_too_large")
    return body
