"""ASVS V13.1 and V13.2: neighbours are handled as it is written down."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.builders import (
    API_KEY,
    Service,
    a_service,
    a_service_with,
    a_sessions_table,
    a_token,
    an_environment,
    settings,
)
from tests.cli.test_commands import run
from tests.fakes import FakeDirectory, Notices
from tests.raw_server import an_answer, raw_server
from tests.security.redis_servers import running_redis
from tests.security.source_tree import ROOT
from tests.watching import watching
from tokensvc.adapters.redis_limits import (
    PROBE,
    REDIS_TIMEOUT_S,
    redis_client,
    shared_options,
)
from tokensvc.adapters.shared_spending import RedisSpending
from tokensvc.domain.secrecy import DEVELOPMENT_MARK
from tokensvc.settings_loading import setting_names
from tokensvc.settings_sections import SessionSettings

RULES = (ROOT / "docs" / "security.md").read_text()
CONNECTIONS = RULES.partition("## Connections")[2].partition("\n## ")[0]
ANSWER = an_answer(json.dumps({"data": {"uid": "alice", "authToken": "alice_1"}}).encode())
ADDRESSES = ("url", "discovery")


def row(name: str) -> str:
    """Return the row of the written connections that is about *name*."""
    (found,) = re.findall(rf"^\| {re.escape(name)} \|.*$", CONNECTIONS, re.MULTILINE)
    return str(found)


def test_v13_1_1_every_address_is_written_down() -> None:
    """Each setting that says where to connect to or listen is named among the connections."""
    names = [*setting_names(), *(f"sessions.{name}" for name in SessionSettings.model_fields)]
    addresses = {name for name in names if name.rpartition(".")[2].endswith(ADDRESSES)}

    assert {"cometchat.base_url", "limits.storage_url"} <= addresses
    assert [name for name in addresses if f"`{name}`" not in CONNECTIONS] == []
    assert "`server.host`" in CONNECTIONS


def test_v13_1_2_connection_limits_are_written_down() -> None:
    """The bound of connections to CometChat stands there, and what happens beyond it."""
    bound = settings().cometchat.max_in_flight

    assert f"`cometchat.max_in_flight` ({bound})" in row("CometChat")
    assert "503 with Retry-After" in row("CometChat")
    assert "each process counts for itself" in row("Redis")


def test_v13_1_3_time_outs_are_written_down() -> None:
    """Each time-out stands there with its default, and so does what is retried."""
    chosen = settings().cometchat

    for name in ("connect_timeout_s", "read_timeout_s", "try_timeout_s", "total_timeout_s"):
        assert f"`cometchat.{name}` ({getattr(chosen, name)})" in row("CometChat")
    for name in ("connect_timeout_s", "total_timeout_s"):
        assert f"`keys.{name}` ({getattr(settings().keys, name)})" in row("issuers")
    assert f"{REDIS_TIMEOUT_S} s" in row("Redis")
    assert "never by the HTTP library" in row("CometChat")


def test_v13_2_1_every_call_to_cometchat_is_authenticated() -> None:
    """Each request that CometChat gets carries our key, and none goes out without one."""
    missing = b'{"error": {"code": "ERR_UID_NOT_FOUND"}}'
    with raw_server(an_answer(missing, status="404 No"), ANSWER) as vendor:
        service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}})
        for _ in range(3):
            assert service.login().status_code == 201

    assert len(vendor.requests) == 4
    keys = [re.findall(rb"(?im)^apikey: ([^\r]*)\r$", request) for request in vendor.requests]
    assert keys == [[API_KEY.encode()]] * 4


def test_v13_2_2_redis_account_with_the_least_rights(tmp_path: Path) -> None:
    """With the account that is written down limits are counted together; it can do nothing else."""
    (rights,) = re.findall(r"^ACL SETUSER tokensvc (.*)$", CONNECTIONS, re.MULTILINE)
    with running_redis(tmp_path) as (where, redis):
        redis.execute_command("ACL", "SETUSER", "tokensvc", *rights.split())  # type: ignore[no-untyped-call]
        limits = {"per_user": "3 per day", "storage_url": f"redis://tokensvc:PASSWORD@{where}/0"}
        first, second = (a_service_with(FakeDirectory(), limits=limits) for _ in range(2))
        statuses = [service.login().status_code for service in (first, second, first, second)]
        told = Notices()
        options = shared_options(lambda: limits["storage_url"], notify=told, login_window_s=60)
        assert options["redis"].hit_all(PROBE)
        spending = RedisSpending(
            lambda: redis_client(lambda: limits["storage_url"]),
            key_prefix="tokensvc:request-budget:app",
            step=1,
            notify=told,
        )
        spending.exchange()
        with Redis.from_url(limits["storage_url"]) as account:
            for words in (["GET", "x"], ["LPUSH", "x", "1"], ["FLUSHALL"], ["CONFIG", "GET", "*"]):
                with pytest.raises(NoPermissionError):
                    account.execute_command(*words)

    assert statuses == [201, 201, 201, 429]
    assert told.names() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"TOKENSVC_COMETCHAT__API_KEY": "<your REST API key>"},
        {"TOKENSVC_COMETCHAT__API_KEY": f"{DEVELOPMENT_MARK}rest-key-of-the-emulator"},
        {"TOKENSVC_AUDIT__LOG_KEY": "change-me"},
        {"TOKENSVC_SESSIONS": json.dumps([a_sessions_table(secret="your-256-bit-secret" * 2)])},
        {"TOKENSVC_SESSIONS": json.dumps([a_sessions_table(secret="secretsecret" * 4)])},
    ],
)
def test_v13_2_3_default_credentials_do_not_start(changes: dict[str, str]) -> None:
    """Published, placeholder and guessable credentials end the start, and are not quoted."""
    environ = an_environment(**{"TOKENSVC_COMETCHAT__BASE_URL": None, **changes})

    done = run("config", "check", environ=environ)

    assert done.returncode == 78
    assert re.search("placeholder|published|guessed", done.stderr)


def test_v13_2_4_only_configured_neighbours_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logins of all kinds connect to CometChat and Redis, whatever proxy the environment names."""
    with raw_server(ANSWER) as vendor, raw_server(b"") as proxy, running_redis(tmp_path) as redis:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        limits = {"per_user": "9 per minute", "storage_url": f"redis://{redis[0]}/0"}
        with watching() as doings:
            service = a_service({"cometchat": {"base_url": f"{vendor.url}/v3"}, "limits": limits})
            doings.forget()
            statuses = [service.login(text).status_code for text in (a_token(), "x.y.z")]

    redis_port = int(redis[0].rpartition(":")[2])
    assert statuses == [201, 401]
    assert set(doings.connections) == {("127.0.0.1", vendor.port), ("127.0.0.1", redis_port)}
    assert doings.programs == []


PATHS_TO_FILES = [
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/static/../wsgi.py"),
    *("/docs/../../etc/passwd", "/docs/%2e%2e%2fpyproject.toml", "/openapi.json/../x", "/?f=/etc"),
    *("/v1/auth-tokens/..%5c..%5cboot.ini", "/file:///etc/passwd", "/http://127.0.0.1:9/"),
]


@pytest.mark.parametrize("path", PATHS_TO_FILES)
def test_v13_2_5_no_request_names_a_file(path: str) -> None:
    """A path that looks like a file or an address opens nothing and calls nobody."""
    with watching() as doings:
        service = a_service_with(FakeDirectory())
        service.client.get("/nothing")
        doings.forget()
        answer = service.client.get(path)

    assert answer.status_code == 404
    assert (doings.files, doings.connections, doings.programs) == ([], [], [])


def test_v13_2_6_calls_in_flight_are_bounded() -> None:
    """Two calls are allowed at once: the third login is told 503 and when to come back."""
    asked, go_on = threading.Semaphore(0), threading.Event()

    def wait_and_answer(connection: Any) -> None:
        asked.release()
        go_on.wait(20)
        connection.sendall(ANSWER)

    with raw_server(wait_and_answer) as vendor, ThreadPoolExecutor(4) as pool:
        service = a_service(
            {
                "cometchat": {
                    "base_url": f"{vendor.url}/v3",
                    "max_in_flight": 2,
                    "read_timeout_s": 20,
                    "total_timeout_s": 30,
                }
            }
        )
        in_flight = [pool.submit(_status_of_login, service) for _ in range(2)]
        for _ in in_flight:
            assert asked.acquire(timeout=10)
        beyond = service.app.test_client().post(
            "/v1/auth-tokens", headers={"Authorization": f"Bearer {a_token()}"}
        )
        asked_by_then = len(vendor.requests)
        go_on.set()
        statuses = [login.result(20) for login in in_flight]

    assert (beyond.status_code, asked_by_then, statuses) == (503, 2, [201, 201])
    assert int(beyond.headers["Retry-After"]) >= 1


def _status_of_login(service: Service) -> int:
    client = service.app.test_client()
    headers = {"Authorization": f"Bearer {a_token()}"}
    return client.post("/v1/auth-tokens", headers=headers).status_code


def test_v13_2_6_time_outs_are_kept() -> None:
    """A CometChat that takes the request and is silent is waited for as long as configured."""
    silence = threading.Event()

    def say_nothing(_: Any) -> None:
        silence.wait(20)

    with raw_server(say_nothing) as vendor:
        base = {"base_url": f"{vendor.url}/v3", "read_timeout_s": 0.3, "total_timeout_s": 0.5}
        started = time.monotonic()
        answer = a_service({"cometchat": base}).login()
        waited_s = time.monotonic() - started
        silence.set()

    assert answer.status_code == 503
    assert 0.25 < waited_s < 5
