"""A town: everything that keeps users in step, in one process, with things that go wrong."""

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.builders import API_KEY, APP_ID, NOWHERE, a_session
from tests.fakes_sync import Clock, FakeAccounts, FakeInbox
from tests.upstreams import a_policy
from tokensvc.adapters.breaker import BreakerRule
from tokensvc.adapters.cometchat import CometChatClient
from tokensvc.adapters.cometchat_users import CometChatUsers
from tokensvc.adapters.http_client import HTTPAnswer, HTTPClient, HTTPFailureError
from tokensvc.adapters.rest_keys import RESTKeys
from tokensvc.adapters.retry_budget import RetryBudget
from tokensvc.adapters.upstream import Policy, Upstream
from tokensvc.domain.accounts import UserEvent
from tokensvc.domain.clocks import Clocks
from tokensvc.domain.errors import (
    DirectoryUnavailableError,
    UserDeactivatedError,
    UserDeletedError,
    UserSuspendedError,
)
from tokensvc.domain.issuing import Provisioning, TokenIssuer
from tokensvc.domain.lifecycle import DAY_S, LifecyclePolicy
from tokensvc.domain.login_facts import LoginFacts
from tokensvc.domain.ports import Claim
from tokensvc.domain.syncing import UserSync
from tokensvc.domain.telling import Telling
from tokensvc.domain.verdicts import Judge
from tokensvc.domain.working import EventWork, Housekeeping
from tokensvc.emulator import EmulatorServer
from tokensvc.emulator.front import Request
from tokensvc.emulator.world import User

LEASE_S = 60.0
REFUSALS = (UserDeletedError, UserSuspendedError, UserDeactivatedError)


class KilledError(BaseException):
    """The process ends here, as by kill -9: nothing that follows is done."""


class DirectHTTP(HTTPClient):
    """The emulator without a socket; `lost` says of the next calls what gets lost of each."""

    def __init__(self, emulator: EmulatorServer) -> None:
        super().__init__(NOWHERE, pool_size=1)
        self._emulator = emulator
        self.lost: list[str] = []

    def send(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        within_s: float = math.inf,  # noqa: ARG002 (nothing takes time here)
    ) -> HTTPAnswer:
        lost = self.lost.pop(0) if self.lost else "nothing"
        if lost == "request":
            raise HTTPFailureError("timeout")
        path, _, query = f"/v3{path}".partition("?")
        lower = {name.lower(): value for name, value in headers.items()}
        response = self._emulator.answer(Request(method, path, query, lower, body))
        if lost == "answer":
            raise HTTPFailureError("timeout")
        return HTTPAnswer(response.status, json.dumps(response.body).encode(), is_json=True)


def patient_policy() -> Policy:
    """Return a policy that tries once and always: what is lost is the town's to repeat."""
    never = BreakerRule(min_calls=10**9, timeouts_in_a_row=10**9)
    return replace(a_policy(rule=never), retry_budget=RetryBudget(0))


@dataclass
class Fuse:
    """Counts the steps of a worker, and lets something happen before or after one of them."""

    steps: int
    happens: Callable[[], None]
    is_after: bool = False

    def around(self, step: Callable[[], Any]) -> Any:
        self.steps -= 1
        if self.steps == 0 and not self.is_after:
            self.happens()
        result = step()
        if self.steps == 0 and self.is_after:
            self.happens()
        return result


class Noted:
    """The inbox of a town, which notes whose event is claimed."""

    def __init__(self, town: "Town") -> None:
        self._town = town

    def claim(self, *, lease_s: float) -> Claim | None:
        claim = self._town.inbox.claim(lease_s=lease_s)
        self._town.working_on = claim.event.uid if claim else ""
        return claim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._town.inbox, name)


class Watched:
    """A port whose every call is a step of the worker."""

    def __init__(self, target: Any, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        return lambda *args, **kwargs: self._fuse.around(lambda: method(*args, **kwargs))


@dataclass
class Town:
    """Users at an emulated CometChat, their accounts, an inbox, and logins."""

    clock: Clock = field(default_factory=Clock)
    ids: int = 0
    working_on: str = ""
    """The user whose event a worker has claimed last."""

    def __post_init__(self) -> None:
        self.emulator = EmulatorServer(app_id=APP_ID, api_key=API_KEY, now=self.clock)
        self.http = DirectHTTP(self.emulator)
        self.inbox = FakeInbox(self.clock)
        self.accounts = FakeAccounts(self.clock)
        self.directory = CometChatUsers(
            CometChatClient(
                Upstream(self.http, patient_policy(), observe_try=lambda _: None),
                RESTKeys(lambda: [API_KEY], notify=lambda _: None, clock=self.clock),
                APP_ID,
            )
        )
        self.house = Housekeeping(
            self.inbox, self.accounts, lambda _: None, self.clock, keep_done_s=1000 * DAY_S
        )
        self.new_web_process()

    def new_web_process(self) -> None:
        """Start a web process, in the place of another: it knows of no login yet."""
        self.logged_in: set[str] = set()
        self.facts = LoginFacts(
            self.inbox,
            self.accounts,
            provisioning=Provisioning(),
            watches_drift=True,
            clocks=Clocks(self.clock, self.clock),
            notify=lambda _: None,
        )

    def tell_logins(self) -> None:
        """Let the web process tell the inbox of its logins."""
        self.facts.tell()
        self.logged_in.clear()

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def put(self, event: UserEvent) -> None:
        self.inbox.put([event], body_hash=b"")

    def work(self, fuse: Fuse | None = None) -> bool:
        """Let a worker deal with one event; return whether there was one."""
        fuse = fuse or Fuse(0, lambda: None)
        telling = Telling(Watched(self.directory, fuse), Provisioning())
        accounts = Watched(self.accounts, fuse)
        sync = UserSync(accounts, telling, LifecyclePolicy(), self.clock)
        inbox = Watched(Noted(self), fuse)
        work = EventWork(inbox, sync, Judge(random.Random(0).random), lambda _: None, LEASE_S)
        try:
            return work.handle_next()
        except KilledError:
            return True

    def login(self, uid: str, name: str) -> bool:
        """Let a user log in with a fresh session; return whether they got a token."""
        session = replace(a_session(uid, name=name), issued_at=self.clock())
        issuer = TokenIssuer(self.directory, Provisioning(), self.accounts, self.facts.observe)
        self.logged_in.add(uid)
        try:
            issuer.issue(session)
        except (*REFUSALS, DirectoryUnavailableError):
            return False
        return True

    def settle(self) -> None:
        """Let all faults end, and everything that waits be done."""
        self.http.lost.clear()
        for _ in range(1000):
            self.tell_logins()
            if self.work():
                continue
            status = self.inbox.status()
            if status.waiting + status.retrying + status.leased == 0:
                return
            self.clock.pass_by(LEASE_S)
        raise AssertionError("the inbox does not come to rest")

    def at_cometchat(self, uid: str) -> User | None:
        """Return what the emulator has of a user, deactivated ones too."""
        return self.emulator.world.apps[APP_ID].users.get(uid)
