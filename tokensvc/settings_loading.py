"""Reading the settings: a TOML file, the environment, secret files; and all faults at once."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from tokensvc.domain.secrecy import DEVELOPMENT_MARK, looks_guessable, looks_like_placeholder
from tokensvc.settings import Settings, is_loopback, prefix_faults

PREFIX: Final = "TOKENSVC_"
CONFIG_NAME: Final = "TOKENSVC_CONFIG"
SECRETS: Final = ("api_key", "storage_url", "log_key")
MAX_SECRET_FILE_BYTES: Final = 64 * 1024
MAX_CONFIG_FILE_BYTES: Final = 1024 * 1024
_OF_KUBERNETES: Final = re.compile(r"TOKENSVC_(SERVICE_HOST|SERVICE_PORT.*|PORT(_\d+_.*)?)")
"""What Kubernetes tells every pod about a Service that is called tokensvc."""


class ConfigurationError(Exception):
    """The settings cannot be used; *faults* names everything that is wrong with them."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = list(dict.fromkeys(faults))
        super().__init__("\n".join(self.faults))


def load_settings(
    environ: Mapping[str, str],
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings that *environ* and the TOML file it names ask for.

    *overrides* go before the environment, the environment before the file.
    Raises `ConfigurationError` with every fault that can be told.
    """
    if config_file is None and environ.get(CONFIG_NAME):
        config_file = Path(environ[CONFIG_NAME])
    faults = list(_unknown_names(environ))
    tables = _read_toml(config_file) if config_file else {}
    raw: dict[str, Any] = {}
    try:
        raw = _merged(environ, tables, overrides or {})
    except SettingsError as error:
        faults.append(_not_json(error))
    faults += _fill_secrets(raw)
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        faults += [_sentence(details) for details in error.errors(include_input=False)]
        settings = None
    faults += _faults_across(raw)
    if faults or settings is None:
        raise ConfigurationError(faults)
    return settings


def setting_names(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted name of every setting; lists of tables go by the list's name."""
    for name, field in model.model_fields.items():
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel):
            yield from setting_names(nested, (*path, name))
        else:
            yield ".".join((*path, name))


def _merged(
    environ: Mapping[str, str], tables: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    environment = EnvSettingsSource(Settings)
    known = _known_variables()
    environment.env_vars = {
        name.lower(): value for name, value in environ.items() if value and name in known
    }
    merged: dict[str, Any] = {}
    for source in (tables, environment(), overrides):
        _overlay(merged, source)
    return merged


def _overlay(below: MutableMapping[str, Any], above: Mapping[str, Any]) -> None:
    """Lay *above* over *below*; a secret in a file takes the place of one by value, and back."""
    for name in SECRETS:
        for given, displaced in ((name, f"{name}_file"), (f"{name}_file", name)):
            if given in above and displaced not in above:
                below.pop(displaced, None)
    for name, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping):
            below[name] = dict(below[name])
            _overlay(below[name], value)
        else:
            below[name] = value


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_FILE_BYTES + 1)
        if len(text) > MAX_CONFIG_FILE_BYTES:
            raise ConfigurationError([f"{path}: larger than {MAX_CONFIG_FILE_BYTES} bytes"])
        return tomllib.loads(text.decode("utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        # Its text names the line and column, and quotes at most one character.
        raise ConfigurationError([f"{path}: is not TOML: {error}"]) from None


def _unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a fault for each variable that looks like ours and is none."""
    known = _known_variables() | {CONFIG_NAME}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known or _OF_KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, n=1)
        yield f"{name}: is not a setting" + (f"; did you mean {close[0]}?" if close else "")


def _known_variables() -> set[str]:
    """Return the names that are read: one for each setting, one for each section as JSON."""
    return {_variable(name.split(".")) for name in [*setting_names(), *Settings.model_fields]}


def _variable(path: Iterable[object]) -> str:
    return PREFIX + "__".join(str(part).upper() for part in path)


def _not_json(error: SettingsError) -> str:
    field = re.search(r'field "(\w+)"', str(error))
    name = _variable([field[1]]) if field else "a variable that holds a list or a table"
    return f"{name}: is not JSON"


def _secret_tables(
    raw: Mapping[str, Any],
) -> Iterator[tuple[MutableMapping[str, Any], list[object], str]]:
    """Yield each table that may hold a secret, where it stands, and the secret's name."""
    for section, secret in (
        ("cometchat", "api_key"),
        ("limits", "storage_url"),
        ("audit", "log_key"),
    ):
        if isinstance(raw.get(section), MutableMapping):
            yield raw[section], [section], secret
    sessions = raw.get("sessions")
    for index, session in enumerate(sessions if isinstance(sessions, list) else []):
        if isinstance(session, MutableMapping):
            yield session, ["sessions", index], "secret"


def _fill_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    """Read the secrets that are given as files into *raw*; yield what goes wrong."""
    for table, place, name in _secret_tables(raw):
        path = table.get(f"{name}_file")
        if path is None:
            continue
        if table.get(name) is not None:
            yield f"{_name([*place, name])}: set it or {name}_file, not both"
            continue
        try:
            with Path(str(path)).open("rb") as file:
                secret = file.read(MAX_SECRET_FILE_BYTES).decode("utf-8").strip("\r\n")
        except OSError as error:
            yield f"{_name([*place, name + '_file'])}: cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            yield f"{_name([*place, name + '_file'])}: is not UTF-8"
        else:
            if not secret:
                yield f"{_name([*place, name + '_file'])}: is empty"
            table[name] = SecretStr(secret)


def _faults_across(raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong between settings, as far as *raw* can be read."""
    development = str(raw.get("development", False)).lower() in {"true", "1", "yes", "on"}
    for table, place, name in _secret_tables(raw):
        secret = table.get(name)
        text = secret.get_secret_value() if isinstance(secret, SecretStr) else secret
        if isinstance(text, str) and name != "storage_url":
            weakness = _weakness(text, development=development, phrase_is_weak=name != "api_key")
            if weakness:
                yield f"{_name([*place, name])}: {weakness}"
    sessions = [table for table, place, _ in _secret_tables(raw) if place[0] == "sessions"]
    prefixes = [str(session.get("uid_prefix", "")) for session in sessions]
    yield from (f"sessions: {fault}" for fault in prefix_faults(prefixes))
    issuers = [str(session.get("issuer")) for session in sessions]
    if len(set(issuers)) != len(issuers):
        yield "sessions: two tables have the same issuer"
    yield from _server_faults(raw, development=development)


def _weakness(secret: str, *, development: bool, phrase_is_weak: bool) -> str | None:
    if secret.startswith(DEVELOPMENT_MARK):
        return None if development else "is published with this project: for development alone"
    if looks_like_placeholder(secret):
        return "is a placeholder"
    if phrase_is_weak and looks_guessable(secret):
        return "can be guessed; make one with: openssl rand -base64 48"
    return None


def _server_faults(raw: Mapping[str, Any], *, development: bool) -> Iterator[str]:
    server = raw.get("server") if isinstance(raw.get("server"), Mapping) else {}
    cometchat = raw.get("cometchat") if isinstance(raw.get("cometchat"), Mapping) else {}
    host = server.get("host", "127.0.0.1") if server else "127.0.0.1"
    if development and not is_loopback(str(host)):
        yield f"{_name(['server', 'host'])}: must be loopback while development is true"
    try:
        threads = int((server or {}).get("threads", 128))
        in_flight = int((cometchat or {}).get("max_in_flight", 112))
    except (TypeError, ValueError):
        return
    if in_flight >= threads:
        yield (
            f"{_name(['cometchat', 'max_in_flight'])}: must be less than server.threads, "
            "so that health probes find a thread"
        )


def _name(path: list[Any]) -> str:
    """Return how a person finds a setting: its dotted name, and its variable if it has one."""
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    variable = _variable(path[:1] if any(isinstance(part, int) for part in path) else path)
    return f"{dotted.removeprefix('.')} ({variable})"


def _sentence(details: ErrorDetails) -> str:
    path = [
        part
        for part in details["loc"]
        if not str(part).startswith(("function-", "list[", "constrained-"))
    ]
    name = _name(path)
    match details["type"]:
        case "missing":
            return f"{name}: is missing"
        case "extra_forbidden":
            return f"{name}: is not a setting"
        case "value_error":
            return f"{name}: {details['msg'].removeprefix('Value error, ')}"
        case _:
            return f"{name}: {details['msg'][:1].lower()}{details['msg'][1:]}"
