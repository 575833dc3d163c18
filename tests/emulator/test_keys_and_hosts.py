"""Keys and hosts: who may call what, and where the app is named."""

import pytest

from tests.emulator.emulated import API_KEY, APP_ID, AUTH_KEY, Caller, a_caller

OURS = f"{APP_ID}.api-us.cometchat.io"
ENDPOINTS = [
    ("POST", "/users"),
    ("GET", "/users"),
    ("PUT", "/users"),
    ("DELETE", "/users"),
    ("GET", "/users/alice"),
    ("PUT", "/users/alice"),
    ("DELETE", "/users/alice"),
    ("POST", "/users/alice/auth_tokens"),
    ("GET", "/users/alice/auth_tokens"),
    ("DELETE", "/users/alice/auth_tokens"),
    ("GET", "/users/alice/auth_tokens/x"),
    ("PUT", "/users/alice/auth_tokens/x"),
    ("DELETE", "/users/alice/auth_tokens/x"),
    ("POST", "/data_import/users"),
    ("POST", "/roles"),
    ("GET", "/roles"),
    ("GET", "/roles/x"),
    ("PUT", "/roles/x"),
    ("DELETE", "/roles/x"),
]
FOR_AUTH_ONLY = [("POST", "/users"), ("POST", "/users/alice/auth_tokens")]


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_no_key(vendor: Caller, method: str, path: str) -> None:
    """Without a key every endpoint is 401."""
    assert vendor.refusal(method, path, key=None) == (401, "AUTH_ERR_EMPTY_APIKEY")


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_unknown_key(vendor: Caller, method: str, path: str) -> None:
    """With a key of nobody every endpoint is 401, with another code."""
    assert vendor.refusal(method, path, key="x" * 40) == (401, "AUTH_ERR_APIKEY_NOT_FOUND")


def test_text_of_an_unknown_key(vendor: Caller) -> None:
    """The recorded text masks all but five characters at either end."""
    error = vendor.error("GET", "/users", key="11111222222222222222222222222222233333")

    assert error == {
        "message": (
            "The key 11111****************************33333 does not exist. "
            "Please use correct apiKey."
        ),
        "devMessage": (
            "The 11111****************************33333 key doesn't work. "
            "Please use correct apiKey."
        ),
        "source": "chat-api",
        "code": "AUTH_ERR_APIKEY_NOT_FOUND",
    }


@pytest.mark.parametrize("key", ["a", "short", "tencharact", "elevenchars"])
def test_no_key_is_told(vendor: Caller, key: str) -> None:
    """A key of any length is never in the answer as it was sent."""
    assert key not in vendor.error("GET", "/users", key=key)["message"].split()


@pytest.mark.parametrize(
    ("method", "path"), [known for known in ENDPOINTS if known not in FOR_AUTH_ONLY]
)
def test_small_scope(vendor: Caller, method: str, path: str) -> None:
    """A key of scope authOnly is 403 for everything but creating users and tokens."""
    assert vendor.refusal(method, path, key=AUTH_KEY) == (403, "AUTH_ERR_NO_ACCESS")


def test_text_of_a_small_scope(vendor: Caller) -> None:
    """The recorded text, the key masked."""
    error = vendor.error("GET", "/users", key=AUTH_KEY)
    masked = "9d8c7" + "*" * 30 + "21100"

    assert error["message"] == (
        f"The key {masked} cannot be used to perform this operation. "
        "Please use API key with a correct scope to perform the operation."
    )
    assert error["devMessage"] == (
        f"The {masked} key does not have enough clearance. "
        "To perform the operation, please use the API key with the correct scope."
    )


def test_small_scope_makes_tokens(vendor: Caller, alice: str) -> None:
    """A key of scope authOnly makes tokens."""
    assert vendor.call("POST", f"/users/{alice}/auth_tokens", key=AUTH_KEY).status_code == 200


@pytest.mark.parametrize(("switch", "status"), [(True, 200), (False, 403)])
def test_small_scope_creates_users(switch: bool, status: int) -> None:  # noqa: FBT001 (cases)
    """Whether it creates users too is a switch."""
    with a_caller(auth_only_creates_users=switch) as vendor:
        user = {"uid": "alice", "name": "Alice"}

        assert vendor.call("POST", "/users", json=user, key=AUTH_KEY).status_code == status


def test_full_scope_creates_users_always() -> None:
    """The switch is about the small scope alone."""
    with a_caller(auth_only_creates_users=False) as vendor:
        assert vendor.create()["uid"] == "alice"


@pytest.mark.parametrize("header", ["apikey", "apiKey", "APIKEY"])
def test_header_names_know_no_case(vendor: Caller, header: str) -> None:
    """The key's header may be spelled anyhow."""
    answer = vendor.call("GET", "/users", key=None, headers={header: API_KEY})

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        OURS,
        OURS.upper(),
        f"{OURS}:443",
        f"{APP_ID}.api-us.cc-cluster-2.io",
        f"{APP_ID}.api-us.cc-edge-2.io",
        "emulator.example.test",
    ],
)
def test_hosts_of_the_app(vendor: Caller, host: str) -> None:
    """The vendor's domains name the app; any other host means the only one."""
    assert vendor.call("GET", "/users", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("app_id", [APP_ID, APP_ID.upper()])
def test_app_by_header(vendor: Caller, app_id: str) -> None:
    """A host without an app needs the appId header."""
    headers = {"Host": "api-us.cometchat.io", "appId": app_id}

    assert vendor.call("GET", "/users", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("host", "app_id", "code"),
    [
        ("api-us.cometchat.io", None, "AUTH_ERR_EMPTY_APPID"),
        ("api-us.cometchat.io", "other", "AUTH_ERR_INVALID_APPID"),
        ("other.api-us.cometchat.io", None, "AUTH_ERR_INVALID_APPID"),
        (f"{APP_ID}.api-eu.cometchat.io", None, "AUTH_ERR_INVALID_APPID"),
        ("api-eu.cometchat.io", APP_ID, "AUTH_ERR_INVALID_APPID"),
        ("api-us.cc-cluster-2.io", None, "AUTH_ERR_EMPTY_APPID"),
        ("other.api-us.cc-edge-2.io", None, "AUTH_ERR_INVALID_APPID"),
        ("127.0.0.1", "other", "AUTH_ERR_INVALID_APPID"),
    ],
)
def test_wrong_app(vendor: Caller, host: str, app_id: str | None, code: str) -> None:
    """No app, no such app, or one of another region: 401, before the key is looked at."""
    headers = {"Host": host, **({"appId": app_id} if app_id else {})}

    assert vendor.refusal("GET", "/users", key=None, headers=headers) == (401, code)


def test_two_apps(vendor: Caller) -> None:
    """With two apps loopback names neither; each has its own users and keys."""
    vendor.emulator.world.add_app("other", region="eu", api_key="other-key", sample_users=True)
    headers = {"Host": "other.api-eu.cometchat.io"}

    assert vendor.refusal("GET", "/users") == (401, "AUTH_ERR_EMPTY_APPID")
    assert vendor.refusal("GET", "/users", headers=headers)[1] == "AUTH_ERR_APIKEY_NOT_FOUND"
    assert len(vendor.data("GET", "/users", headers=headers, key="other-key")) == 5


@pytest.mark.parametrize(
    ("side", "path", "is_there"),
    [
        ("api", "/users", True),
        ("apiclient", "/users", False),
        ("call", "/users", False),
        ("api", "/me", False),
        ("apiclient", "/me", True),
        ("call", "/me", False),
    ],
)
def test_sides(vendor: Caller, side: str, path: str, is_there: bool) -> None:  # noqa: FBT001
    """A real host serves its own side and no other."""
    answer = vendor.call("GET", path, headers={"Host": f"{APP_ID}.{side}-us.cometchat.io"})

    assert (answer.json().get("error", {}).get("code") != "ERR_API_NOT_FOUND") is is_there


@pytest.mark.parametrize("version", ["v3", "v3.0"])
def test_versions(vendor: Caller, version: str) -> None:
    """Both spellings of the version are one API."""
    url = f"{vendor.emulator.url}/{version}"

    assert vendor.call("GET", "/users", url=url).status_code == 200


@pytest.mark.parametrize("version", ["v2", "v2.0", "v3.1", "v4"])
def test_other_versions(vendor: Caller, version: str) -> None:
    """Another version is refused by a code of its own."""
    url = f"{vendor.emulator.url}/{version}"

    assert vendor.refusal("GET", "/users", url=url) == (404, "ERR_INVALID_API_VERSION")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nothing"),
        ("PATCH", "/users"),
        ("POST", "/users/alice"),
        ("TRACE", "/users"),
        ("BREW", "/users"),
        ("GET", "/users/alice/deactivate"),
        ("PUT", "/users/alice/reactivate"),
        ("GET", "/users//auth_tokens/x/y"),
        ("GET", "/"),
    ],
)
def test_unknown_path_or_method(vendor: Caller, method: str, path: str) -> None:
    """Neither needs a key to be refused, in one recorded answer."""
    answer = vendor.call(method, path, key=None)

    assert answer.status_code == 404
    assert answer.json() == {
        "error": {
            "message": "The API endpoint is invalid. Please verify the API call.",
            "devMessage": "The endpoint of the API is invalid. Please have the API call checked.",
            "source": "chat-api",
            "code": "ERR_API_NOT_FOUND",
        }
    }


def test_checks_in_order() -> None:
    """Path, app, key, scope, rate, body, entity: what comes first is what is answered."""
    with a_caller(core_per_minute=2) as vendor:
        unknown_app = {"Host": "other.api-us.cometchat.io"}

        refusals = [
            vendor.refusal("POST", "/nothing", headers=unknown_app)[1],
            vendor.refusal("POST", "/users", headers=unknown_app, key="x")[1],
            vendor.refusal("POST", "/users", key="x", json={})[1],
            vendor.refusal("DELETE", "/users/x", key=AUTH_KEY, json=[])[1],
            vendor.refusal("POST", "/users", json={})[1],
            vendor.refusal("POST", "/users/x/auth_tokens")[1],
            vendor.refusal("POST", "/users", json={})[1],
        ]

        assert refusals == [
            "ERR_API_NOT_FOUND",
            "AUTH_ERR_INVALID_APPID",
            "AUTH_ERR_APIKEY_NOT_FOUND",
            "AUTH_ERR_NO_ACCESS",
            "ERR_BAD_REQUEST",
            "ERR_UID_NOT_FOUND",
            "ERR_TOO_MANY_REQUESTS",
        ]
