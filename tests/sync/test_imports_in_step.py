"""Imports among everything else: lists, operators and facts cross, and the newest word stands."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.builders import a_uid
from tests.sync.test_state_machine import STEPS, USERS, UsersInStep
from tests.sync.towns import Fuse, KilledError, Watched
from tokensvc.domain.account_book import IMPORT, AccountBook
from tokensvc.domain.accounts import EventKind, UserEvent
from tokensvc.domain.errors import DirectoryUnavailableError
from tokensvc.domain.importing import Existing, Outcome, UserImport
from tokensvc.domain.issuing import Provisioning
from tokensvc.domain.lifecycle import LifecyclePolicy
from tokensvc.domain.model import ChatUser, Profile
from tokensvc.domain.pacing import Pace, Patience


class ImportsInStep(UsersInStep):
    """What the other machine does, and imports that are killed, resumed and crossed."""

    def __init__(self) -> None:
        super().__init__()
        self.imported: list[UserEvent] = []

    @rule(uids=st.sets(USERS, min_size=1), age_s=st.sampled_from([0, 1, 1000]), steps=STEPS)
    def a_list_is_imported(self, uids: set[str], age_s: int, steps: int) -> None:
        """While the list travels to CometChat, a worker does something in between."""

        def crossed() -> None:
            self.town.work()

        self.send_list(uids, age_s, Fuse(steps, crossed))

    @rule(uids=st.sets(USERS, min_size=1), steps=STEPS, is_after=st.booleans())
    def an_import_is_killed(self, uids: set[str], steps: int, *, is_after: bool) -> None:
        """Before or after any of its steps; it is resumed."""

        def killed() -> None:
            raise KilledError

        self.send_list(uids, 0, Fuse(steps, killed, is_after=is_after))

    def send_list(self, uids: set[str], age_s: int, fuse: Fuse) -> None:
        number = len(self.imported)
        version = int((self.town.clock() - age_s) * 1000)
        users = [
            ChatUser(a_uid(uid), Profile(name=f"Listed {uid} {number}")) for uid in sorted(uids)
        ]
        try:
            results = self.importer(version, fuse).send(users)
        except (KilledError, DirectoryUnavailableError):
            self.town.http.lost.clear()
            calm = Fuse(0, lambda: None)
            results = self.importer(version, calm).send(users, in_doubt=True)
        for user, result in zip(users, results, strict=True):
            if result.outcome in {Outcome.CREATED, Outcome.UPDATED}:
                self.imported.append(
                    UserEvent(EventKind.UPDATED, user.uid, version, IMPORT, "", user.profile)
                )

    def importer(self, version: int, fuse: Fuse) -> UserImport:
        town = self.town
        book = AccountBook(
            Watched(town.accounts, fuse), town.inbox, LifecyclePolicy(), town.clock, town.new_id
        )
        return UserImport(
            directory=Watched(town.directory, fuse),
            provisioning=Provisioning(),
            pace=Pace(60, town.clock, town.clock.pass_by),
            patience=Patience(town.clock.pass_by),
            existing=Existing.UPDATE,
            book=book,
            version=version,
        )

    def check(self, uid: str, told: list[UserEvent]) -> None:
        super().check(uid, told + [event for event in self.imported if event.uid == uid])


TestImportsInStep = ImportsInStep.TestCase
TestImportsInStep.settings = settings(
    max_examples=100,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
