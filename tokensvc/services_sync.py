"""Composition of what keeps users in step: what the worker's door opens on."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from tokensvc.adapters.audit_log import AuditLog
from tokensvc.adapters.background import Periodic
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.adapters.line_queue import stdout_lines
from tokensvc.adapters.secrets import SecretWatcher
from tokensvc.domain.audit import Announcer
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.syncing import UserSync
from tokensvc.domain.telling import Telling
from tokensvc.domain.verdicts import Judge
from tokensvc.domain.working import EventWork, Housekeeping
from tokensvc.rotation import SecretsInForce
from tokensvc.services_directory import chat_directory, lifecycle_policy_of, provisioning_of
from tokensvc.services_storage import storage_of
from tokensvc.settings import Settings

CALLS_PER_EVENT: Final = 12
"""What an event may cost: six calls, and all again where its account was changed, or where
CometChat fails at it and it is told with what waits behind it. Beyond its lease nothing is
lost: somebody else does it again."""


@dataclass(frozen=True, slots=True)
class SyncServices:
    """What the worker's door opens on."""

    work: EventWork
    house: Housekeeping
    background: Sequence[Periodic] = ()
    """What goes on beside the work; the door starts it."""


def assemble_sync(
    settings: Settings, *, now: Callable[[], float] = time.time, log_stream: TextIO | None = None
) -> SyncServices:
    """Return what *settings* ask for, writing its log to stdout."""
    notify = Announcer()
    audit_log = AuditLog(log_stream or stdout_lines(notify), secrets=settings.secret_values())
    notify.readers = (audit_log.note,)
    secrets = SecretsInForce(settings, mask=audit_log.mask)
    watcher = SecretWatcher(secrets.files(), notify=notify)
    storage = storage_of(settings, now=now)
    client = chat_directory(settings, secrets, Clocks(now, time.monotonic), notify, share="sync")
    telling = Telling(CometChatUsers(client), provisioning_of(settings))
    work = EventWork(
        inbox=storage.inbox,
        sync=UserSync(storage.accounts, telling, lifecycle_policy_of(settings), now),
        # The jitter of its pauses: workers shall not come back all at once.
        judge=Judge(random.SystemRandom().random),
        notify=notify,
        lease_s=max(settings.worker.lease_s, CALLS_PER_EVENT * settings.cometchat.total_timeout_s),
    )
    house = Housekeeping(storage.inbox, storage.accounts, notify, now, storage.keep_done_s)
    return SyncServices(work, house, watcher.background())
