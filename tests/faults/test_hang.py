"""CometChat hangs under a storm of logins: the service stays, says so, and is back by itself."""

import pytest

from tests.builders import API_KEY, APP_ID
from tests.faults.storm import PROBES, Storm, breaker_opened_after_s, storm_over
from tests.processes import serving
from tokensvc.emulator import EmulatorServer, Switches

CLIENTS = 200
HANG_S = 12.0
OPEN_WITHIN_S = 10.0
RECOVERY_S = 10.0
SOON_S = 1.0
"""For one answer, on a machine that has a storm of clients to carry as well."""
UNLIMITED = {"TOKENSVC_LIMITS__PER_USER": "1000000 per minute"}


@pytest.fixture(scope="module")
def outage(tmp_path_factory: pytest.TempPathFactory) -> tuple[Storm, float]:
    """Run the storm once: what was seen, and when the breaker had opened."""
    folder = tmp_path_factory.mktemp("storm")
    switches = Switches(core_per_minute=1_000_000)
    with (
        EmulatorServer(app_id=APP_ID, api_key=API_KEY, switches=switches) as emulator,
        serving(folder, vendor_url=emulator.url, **UNLIMITED) as process,
    ):
        storm = storm_over(process, emulator, clients=CLIENTS, hang_s=HANG_S)
        return storm, breaker_opened_after_s(process, storm)


def test_probes_find_a_thread(outage: tuple[Storm, float]) -> None:
    """All of fifty health probes are answered, and soon."""
    storm, _ = outage

    assert [probe.status for probe in storm.probes] == [200] * PROBES
    assert max(probe.took_s for probe in storm.probes) < SOON_S


def test_breaker_opens(outage: tuple[Storm, float]) -> None:
    """Within ten seconds nobody waits for CometChat any more."""
    _, opened_after_s = outage

    assert 0 < opened_after_s < OPEN_WITHIN_S


def test_logins_are_told_to_come_back(outage: tuple[Storm, float]) -> None:
    """Once it is open each login is a 503 with Retry-After, at once, but for the few probes."""
    storm, opened_after_s = outage
    during = storm.logins_in(storm.hang_from + opened_after_s + 2.5, storm.hang_until)
    slow = [seen for seen in during if seen.took_s > SOON_S]

    assert len(during) > CLIENTS
    assert {seen.status for seen in during} == {503}
    assert all(seen.retry_after_s for seen in during)
    assert len(slow) <= HANG_S


def test_full_service_is_back(outage: tuple[Storm, float]) -> None:
    """Ten seconds after the end of the hang nobody is refused, without a restart."""
    storm, _ = outage
    after = storm.logins_in(storm.hang_until + RECOVERY_S, float("inf"))

    assert storm.recovered_after_s() < RECOVERY_S
    assert len(after) > CLIENTS / 2
    assert {seen.status for seen in after} == {201}


def test_nothing_is_ever_a_crash(outage: tuple[Storm, float]) -> None:
    """From the first login to the last there are two answers, and no third."""
    storm, _ = outage

    assert {seen.status for seen in storm.logins} == {201, 503}
