"""Reading the settings: a TOML file, the environment, secret files; and all faults at once."""

import difflib
import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from tokensvc.settings import Settings
from tokensvc.settings_checks import read_file, secret_text
from tokensvc.settings_faults import (
    PREFIX,
    faults_across,
    secret_tables,
    sentence,
    setting_name,
    variable_name,
)
from tokensvc.settings_sections import SessionSettings
from tokensvc.settings_webhook_faults import fill_webhook_secrets, webhook_faults
from tokensvc.settings_webhooks import WebhookSettings

CONFIG_NAME: Final = "TOKENSVC_CONFIG"
SECRETS: Final = ("api_key", "api_key_previous", "storage_url", "log_key", "url")
_WITH_KEYS: Final[Mapping[str, tuple[type[BaseModel], Mapping[str, str]]]] = {
    "sessions": (SessionSettings, {"issuer": "x", "audience": "x"}),
    "webhooks": (WebhookSettings, {"issuer": "x", "source": "x"}),
}
"""Tables that load keys, and what stands in for members of theirs that are at fault."""
_FILE_FAULT: Final = re.compile(r"\((TOKENSVC_\w+)_FILE\): ")
_MISSING: Final = re.compile(r"\((TOKENSVC_\w+)\): is missing$")
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
    tables: dict[str, Any] = {}
    is_unread = False
    try:
        tables = _read_toml(config_file) if config_file else {}
    except ConfigurationError as unreadable:
        is_unread = True
        faults += unreadable.faults
    faults += filter(None, itertools.starmap(_unreadable, environ.items()))
    raw = _merged(environ, tables, overrides or {})
    faults += _fill_secrets(raw)
    faults += fill_webhook_secrets(raw)
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        faults += map(sentence, _details(error))
        faults += _hidden_behind(error, raw)
        settings = None
    faults += faults_across(raw)
    faults += webhook_faults(raw)
    if faults or settings is None:
        # What is missing may well be in the file that cannot be read.
        raise ConfigurationError(_without_echoes(faults, hide_missing=is_unread))
    return settings


def _without_echoes(faults: Sequence[str], *, hide_missing: bool) -> Iterator[str]:
    """Leave out that something is missing which stands in a file that cannot be read."""
    unread = {found[1] for fault in faults if (found := _FILE_FAULT.search(fault))}
    for fault in faults:
        found = _MISSING.search(fault)
        if not found or not (hide_missing or found[1] in unread):
            yield fault


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_input=False)


def _hidden_behind(error: ValidationError, raw: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the keys of those tables that have other faults too.

    A table's keys are loaded when its other members are good, so that one fault
    would hide another: here the members at fault are left out, or stood in for.
    """
    for section, (model, stand_ins) in _WITH_KEYS.items():
        tables = raw.get(section)
        for index, table in enumerate(tables if isinstance(tables, list) else []):
            at_fault = {
                details["loc"][2]
                for details in _details(error)
                if details["loc"][:2] == (section, index) and len(details["loc"]) > 2  # noqa: PLR2004
            }
            if not at_fault or not isinstance(table, Mapping):
                continue
            rest = {name: value for name, value in table.items() if name not in at_fault}
            try:
                model.model_validate({**stand_ins, **rest})
            except ValidationError as behind:
                for details in _details(behind):
                    at = (section, index, *details["loc"])
                    if details["type"] == "value_error" and not details["loc"]:
                        yield sentence({**details, "loc": at})


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
    readable = {name: environ[name] for name in environ if not _unreadable(name, environ[name])}
    # An absent section is an empty one, so that each of its missing values is named.
    merged: dict[str, Any] = {"cometchat": {}}
    for source in (tables, _from_environment(readable), overrides):
        _overlay(merged, source)
    return merged


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(Settings)
    known = _known_variables()
    source.env_vars = {
        name.lower(): value for name, value in environ.items() if value and name in known
    }
    return source()


def _unreadable(name: str, value: str) -> str | None:
    """Return the fault of a variable that must be JSON and is not."""
    try:
        _from_environment({name: value})
    except (SettingsError, RecursionError):
        return f"{name}: is not JSON, which lists and tables are in the environment"
    return None


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
        return tomllib.loads(read_file(path).decode("utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: is not UTF-8"]) from None
    except RecursionError:
        raise ConfigurationError([f"{path}: is nested too deeply"]) from None
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
    return {variable_name(name.split(".")) for name in [*setting_names(), *Settings.model_fields]}


def _fill_secrets(raw: Mapping[str, Any]) -> Iterator[str]:
    """Read the secrets that are given as files into *raw*; yield what goes wrong."""
    for table, place, name in secret_tables(raw):
        path = table.get(f"{name}_file")
        if path is None:
            continue
        if table.get(name) is not None:
            yield f"{setting_name([*place, name])}: set it or {name}_file, not both"
            continue
        try:
            table[name] = SecretStr(secret_text(Path(str(path))))
        except ValueError as fault:
            yield f"{setting_name([*place, name + '_file'])}: {fault}"
