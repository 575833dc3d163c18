"""Composition of the webhooks: an endpoint for each source, and the rules of its users."""

from collections.abc import Mapping

from tokensvc.domain.audit import Notify
from tokensvc.domain.deliveries import Sender
from tokensvc.domain.ports import Inbox
from tokensvc.domain.receiving import Identity, Receiver
from tokensvc.domain.uids import uid_rule
from tokensvc.settings import Settings
from tokensvc.web.body_places import deliveries_at_once
from tokensvc.web.webhooks import Endpoint, WebhookRoom


def webhook_room(
    settings: Settings, senders: Mapping[str, Sender], inbox: Inbox, notify: Notify
) -> WebhookRoom:
    """Return an endpoint for each source; each has the uid rule of its issuer's sessions."""
    prefixes = {table.issuer: table.uid_prefix for table in settings.sessions}
    strategy = settings.uids.strategy
    endpoints = {}
    for table in settings.webhooks:
        receiver = Receiver(
            source=table.source,
            sender=senders[table.source],
            identity=Identity(
                uid_rule=uid_rule(strategy, prefix=prefixes[table.issuer]),
                uid_claim=table.uid_path,
                profile_claims=table.profile_claims(),
            ),
            inbox=inbox,
            notify=notify,
            suspends=table.suspends,
        )
        endpoints[table.source] = Endpoint(receiver, table.kind.status, table.kind.challenge_header)
    return WebhookRoom(endpoints, deliveries_at_once(settings.server.threads))
