"""The memory storage: exact under threads, and no dearer with many users than with few."""

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from tests.watching import watching
from tokensvc.adapters.limit_storage import WindowStorage, storage_url
from tokensvc.domain.windows import Window

KEY = "LIMITS/alice/10/1/minute"


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def storage(clock: Clock) -> WindowStorage:
    """Return an empty storage."""
    return WindowStorage(now=clock)


def hits(storage: WindowStorage, count: int, *, limit: int = 10, key: str = KEY) -> list[bool]:
    return [is_counted(storage, Window(key, limit, 60)) for _ in range(count)]


def is_counted(storage: WindowStorage, *windows: Window) -> bool:
    return not any(state.is_full for state in storage.hit_all(windows))


def test_limit_is_exact(storage: WindowStorage) -> None:
    """As many as allowed pass, and not one more."""
    assert hits(storage, 12) == [True] * 10 + [False] * 2


def test_window_moves(storage: WindowStorage, clock: Clock) -> None:
    """A hit leaves the window after its length, and not before."""
    hits(storage, 5)
    clock.time += 30
    hits(storage, 5)

    clock.time += 29.9
    early = hits(storage, 1)
    clock.time += 0.1
    on_time = hits(storage, 6)

    assert (early, on_time) == ([False], [True] * 5 + [False])


def test_refused_hits_do_not_count(storage: WindowStorage, clock: Clock) -> None:
    """Whoever keeps knocking does not lock themselves out for longer."""
    hits(storage, 100)
    clock.time += 60

    assert hits(storage, 10) == [True] * 10


def test_keys_are_apart(storage: WindowStorage) -> None:
    """One user's hits are nobody else's."""
    hits(storage, 10)

    assert hits(storage, 1, key="LIMITS/bob/10/1/minute") == [True]


def test_windows_of_one_key_are_apart(storage: WindowStorage) -> None:
    """A key in two lengths of window is counted in each."""
    is_counted(storage, Window(KEY, 1, 60))

    assert is_counted(storage, Window(KEY, 1, 86400))
    assert not is_counted(storage, Window(KEY, 1, 60))


def test_hits_are_counted_in_all_windows_or_in_none(storage: WindowStorage, clock: Clock) -> None:
    """One full window is enough: the others lose nothing, and are told as they are."""
    minute, day = Window("minute", 2, 60), Window("day", 9, 86400)
    began = clock.time

    states = [storage.hit_all([minute, day]) for _ in range(3)]
    clock.time += 60
    states.append(storage.hit_all([minute, day]))

    assert states == [
        [(began, 1, False), (began, 1, False)],
        [(began, 2, False), (began, 2, False)],
        [(began, 2, True), (began, 2, False)],
        [(clock.time, 1, False), (began, 3, False)],
    ]


def test_a_refused_stranger_leaves_nothing(storage: WindowStorage) -> None:
    """A key that never got in takes no memory, in the other windows neither."""
    storage.hit_all([Window("one", 1, 60)])
    storage.hit_all([Window("one", 1, 60), Window("never", 9, 60)])

    assert storage.reset() == 1


def test_who_comes_back_to_a_spent_day_harms_nobody(storage: WindowStorage, clock: Clock) -> None:
    """A window that has run empty beside one that is full is no obstacle for the others."""
    minute, day = Window("eve/minute", 10, 60), Window("eve/day", 2, 86400)
    for name in ("ann", "bob", "eve"):
        storage.hit_all([Window(f"{name}/minute", 10, 60)])
    for _ in range(2):
        storage.hit_all([minute, day])
    clock.time += 61

    (empty, full) = storage.hit_all([minute, day])
    answers = [is_counted(storage, Window(f"user-{n}/minute", 10, 60)) for n in range(5)]

    assert (empty.hits, full.is_full) == (0, True)
    assert answers == [True] * 5
    assert storage.get_moving_window(minute.key, 10, 60) == (clock.time, 0)


@pytest.mark.parametrize("limit", [1, 3])
def test_both_doors_count_alike(storage: WindowStorage, limit: int) -> None:
    """What `limits` itself asks for counts in the same windows."""
    verdicts = [
        storage.acquire_entry(KEY, limit, 60) and is_counted(storage, Window(KEY, limit + 1, 60))
        for _ in range(3)
    ]

    assert verdicts == ([True, False, False] if limit == 1 else [True, True, False])


@pytest.mark.parametrize(("amount", "passes"), [(10, True), (11, False)])
def test_several_at_once(storage: WindowStorage, amount: int, *, passes: bool) -> None:
    """A hit of several passes whole or not at all."""
    assert storage.acquire_entry(KEY, 10, 60, amount) is passes
    assert storage.get_moving_window(KEY, 10, 60)[1] == (amount if passes else 0)


def test_window_is_told(storage: WindowStorage, clock: Clock) -> None:
    """What is left and when it resets can be asked for: from the oldest hit on."""
    hits(storage, 3)
    began = clock.time
    clock.time += 20
    hits(storage, 1)

    assert storage.get_moving_window(KEY, 10, 60) == (began, 4)


def test_empty_window_begins_now(storage: WindowStorage, clock: Clock) -> None:
    """Without hits the window begins now, also when there were some once."""
    hits(storage, 3)
    clock.time += 60

    assert storage.get_moving_window(KEY, 10, 60) == (clock.time, 0)


def test_idle_keys_are_forgotten(storage: WindowStorage, clock: Clock) -> None:
    """A million users of yesterday take no memory today: two leave for each one that comes."""
    for number in range(1000):
        hits(storage, 1, key=f"user-{number}")
    clock.time += 61

    for number in range(501):
        hits(storage, 1, key=f"new-{number}")

    assert storage.reset() == 501


def test_a_busy_key_keeps_no_idle_ones(storage: WindowStorage, clock: Clock) -> None:
    """Idle keys are forgotten, also behind one that came before them and is still there."""
    hits(storage, 1)
    for number in range(100):
        hits(storage, 1, key=f"user-{number}")
    clock.time += 30
    hits(storage, 1)
    clock.time += 30
    hits(storage, 50, limit=100)

    assert storage.reset() == 1


def test_busy_keys_are_kept(storage: WindowStorage, clock: Clock) -> None:
    """A key that is still hit is not forgotten, however old its first hit is."""
    for _ in range(5):
        hits(storage, 2)
        clock.time += 12
    hits(storage, 1, key="other")

    assert storage.get_moving_window(KEY, 10, 60)[1] == 8


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40)), max_size=80))
def test_it_counts_as_a_list_would(steps: list[tuple[str, int]]) -> None:
    """Any order of hits and pauses is decided as by the plainest way to count."""
    clock = Clock()
    storage = WindowStorage(now=clock)
    plain: dict[str, list[float]] = {"a": [], "b": []}
    for key, pause in steps:
        clock.time += pause
        recent = [hit for hit in plain[key] if hit > clock.time - 60]
        allowed = len(recent) < 3
        plain[key] = [*recent, clock.time] if allowed else recent

        assert is_counted(storage, Window(key, 3, 60)) is allowed


def test_sixteen_threads_get_exactly_the_limit(storage: WindowStorage) -> None:
    """Sixteen threads at one key together get what is allowed, over and over."""
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(20):
            start = threading.Barrier(16)

            def race(_: int, key: str = f"key-{number}", start: threading.Barrier = start) -> int:
                start.wait()
                return sum(hits(storage, 20, limit=100, key=key))

            with ThreadPoolExecutor(16) as pool:
                assert sum(pool.map(race, range(16))) == 100
    finally:
        sys.setswitchinterval(switch_interval)


def test_a_hit_costs_the_same_with_many_users(storage: WindowStorage) -> None:
    """Counted in steps, not in seconds: with 100,000 live users a hit does what it did with 100."""
    few = _steps_of_a_hit(storage, users=100)
    many = _steps_of_a_hit(storage, users=100_000)

    assert many == few


def _steps_of_a_hit(storage: WindowStorage, users: int) -> int:
    for number in range(users):
        storage.hit_all([Window(f"user-{number}", 10, 60)])
    steps = 0

    def count(_frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        storage.hit_all([Window(f"one more than {users}", 10**6, 60)])
    finally:
        sys.setprofile(None)
    return steps


def test_a_hit_takes_eight_bytes_and_a_user_few(storage: WindowStorage) -> None:
    """What a day's hits take is what makes a process grow."""
    of_users = _bytes_of(lambda: [is_counted(storage, a_window(f"user-{n}")) for n in range(1_000)])
    of_hits = _bytes_of(lambda: storage.acquire_entry("busy", 10**6, 86_400, 100_000))

    assert 100 < of_users / 1_000 < 500
    assert 8 <= of_hits / 100_000 < 10


def test_what_has_left_a_window_takes_no_room(storage: WindowStorage, clock: Clock) -> None:
    """A hit a second for a day: of those of the last minute there is room for twice as many."""

    def ask_all_day() -> None:
        for _ in range(86_400):
            clock.time += 1
            assert is_counted(storage, Window("steady", 60, 60))

    assert 0 < _bytes_of(ask_all_day) < 4_000


def a_window(key: str) -> Window:
    return Window(key, 10, 60)


def _bytes_of(work: Callable[[], object]) -> int:
    """Return how much of what *work* allocates is still there after it."""
    from_here = tracemalloc.Filter(inclusive=True, filename_pattern=__file__, all_frames=True)
    tracemalloc.start(8)  # Deep enough to tell this module's work from that of others' threads.
    try:
        work()
        gc.collect()
        left = tracemalloc.take_snapshot().filter_traces([from_here])
    finally:
        tracemalloc.stop()
    return sum(trace.size for trace in left.traces)


def test_telling_a_window_costs_the_same_with_many_hits(storage: WindowStorage) -> None:
    """What is left of thirty thousand deliveries is told as fast as what is left of ten."""
    storage.acquire_entry("few", 10, 60, 5)
    storage.acquire_entry("many", 30_000, 60, 20_000)

    lines = [_lines_of_telling(storage, key) for key in ("few", "many")]

    assert lines[0] == lines[1]
    assert storage.get_moving_window("many", 30_000, 60)[1] == 20_000


def _lines_of_telling(storage: WindowStorage, key: str) -> int:
    lines = 0

    def count(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal lines
        lines += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]  # (a trace function returns one)
    try:
        storage.get_moving_window(key, 30_000, 60)
    finally:
        sys.settrace(before)
    return lines


def test_told_windows_forget(storage: WindowStorage, clock: Clock) -> None:
    """A window that is told empty is gone, and counts anew."""
    hits(storage, 10)
    clock.time += 60

    told = storage.get_moving_window(KEY, 10, 60)

    assert told == (clock.time, 0)
    assert hits(storage, 11) == [True] * 10 + [False]


def test_limits_finds_it_by_its_scheme() -> None:
    """The limiter gets it through the registry of `limits`, under memory:// in our settings."""
    storage = storage_from_string(storage_url("memory://"))
    limiter = MovingWindowRateLimiter(storage)
    item = RateLimitItemPerMinute(2)

    assert isinstance(storage, WindowStorage)
    assert [limiter.hit(item, "alice") for _ in range(3)] == [True, True, False]
    assert limiter.get_window_stats(item, "alice").remaining == 0


def test_no_thread_is_started() -> None:
    """It needs no timer: nothing runs when nobody asks."""
    with watching() as doings:
        hits(WindowStorage(), 50)

    assert doings.threads == []
