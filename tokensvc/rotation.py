"""Rotation: the secrets in force, and how each of their files is read again while we run."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr, ValidationError

from tokensvc.adapters.key_sets import KeyPolicyError, KeySet, key_from_pem, keys_from_jwks
from tokensvc.adapters.redis_limits import without_credentials
from tokensvc.adapters.secrets import CurrentKeys, SecretRefusedError, WatchedFile
from tokensvc.settings import Settings
from tokensvc.settings_checks import read_file, secret_text
from tokensvc.settings_faults import faults_across, secret_tables, sentence
from tokensvc.settings_sections import Section

KEY_FILES: Final = ("public_key_previous_file", "public_key_file", "jwks_file")


class SecretsInForce:
    """The newest good value of every secret, asked for at each use.

    A new value passes all the checks of the start first. *mask* is told of it
    before anything uses it, so that no log line can hold it.
    """

    def __init__(self, settings: Settings, *, mask: Callable[[Iterable[str]], None]) -> None:
        self._mask = mask
        self._put_in_force(settings)
        self.session_keys = {
            table.issuer: CurrentKeys(table.load_keys(), table.load_previous_keys())
            for table in settings.sessions
            if table.key_url is None
        }
        """By issuer, without those whose keys are fetched."""

    def api_keys(self) -> Sequence[str]:
        """Return the REST API keys to try, the current one first."""
        return self._api_keys

    def storage_url(self) -> str:
        """Return where limits are counted, with the password in force."""
        return self._settings.limits.storage_url.get_secret_value()

    def log_key(self) -> bytes:
        """Return the key of the log's fingerprints."""
        return self._log_key

    def files(self) -> Iterator[WatchedFile]:
        """Yield every file that one of the secrets comes from.

        The previous ones first: where a secret moves from one file to the other, it
        is in force at every moment.
        """
        tables = secret_tables(self._settings.model_dump())
        for table, place, name in sorted(tables, key=lambda found: "previous" not in found[2]):
            path = table.get(f"{name}_file")
            if path is not None:
                reread = partial(self._reread_text, place, name, path)
                yield WatchedFile(_dotted([*place, f"{name}_file"]), path, reread)
        for index, session in enumerate(self._settings.sessions):
            for name in KEY_FILES:
                path = getattr(session, name)
                if path is not None:
                    reread = partial(self._reread_keys, index, name, path)
                    yield WatchedFile(_dotted(["sessions", index, name]), path, reread)

    def _put_in_force(self, settings: Settings) -> None:
        self._settings = settings
        # Logins ask for these: they shall not have to open the settings for it.
        self._api_keys = settings.cometchat.api_keys()
        self._log_key = _log_key(settings)

    def _reread_text(self, place: list[Any], name: str, path: Path) -> bool:
        try:
            text = secret_text(path)
        except ValueError as fault:
            raise SecretRefusedError(str(fault)) from None
        candidate = _with(self._settings, place, name, text)
        if candidate == self._settings:
            return False
        faults = [*_faults_of(candidate, place, name), *faults_across(candidate.model_dump())]
        if name == "storage_url" and not _same_place(candidate, self._settings):
            faults.append("another place than the password needs a restart")
        if faults:
            raise SecretRefusedError("; ".join(faults))
        self._mask(candidate.secret_values())
        self._put_in_force(candidate)
        if place[0] == "sessions":
            session = candidate.sessions[place[1]]
            keys = self.session_keys[session.issuer]
            keys.current, keys.previous = session.load_keys(), session.load_previous_keys()
        return True

    def _reread_keys(self, index: int, name: str, path: Path) -> bool:
        session = self._settings.sessions[index]
        keys = self.session_keys[session.issuer]
        load = keys_from_jwks if name == "jwks_file" else key_from_pem
        try:
            found: KeySet = load(read_file(path), session.algorithms)
        except OSError as error:
            raise SecretRefusedError(f"cannot be read: {error.strerror}") from None
        except KeyPolicyError as error:
            raise SecretRefusedError(str(error)) from None
        kept = "previous" if name == "public_key_previous_file" else "current"
        has_changed: bool = getattr(keys, kept) != found
        setattr(keys, kept, found)
        return has_changed


def _log_key(settings: Settings) -> bytes:
    """Return the log key of *settings*.

    Without one of its own it is derived from the REST key, so that all processes
    agree and nothing has to be set; it changes when that key does.
    """
    if settings.audit.log_key:
        return settings.audit.log_key.get_secret_value().encode()
    api_key = settings.cometchat.api_keys()[0].encode()
    return hmac.digest(api_key, b"tokensvc log fingerprints", hashlib.sha256)


def _at(settings: Settings, place: list[Any]) -> Section:
    section, *index = place
    found = getattr(settings, section)
    table: Section = found[index[0]] if index else found
    return table


def _with(settings: Settings, place: list[Any], name: str, text: str) -> Settings:
    """Return *settings* with another secret, as yet unchecked."""
    changed = _at(settings, place).model_copy(update={name: SecretStr(text)})
    section, *index = place
    if not index:
        return settings.model_copy(update={section: changed})
    tables = list(getattr(settings, section))
    tables[index[0]] = changed
    return settings.model_copy(update={section: tables})


def _faults_of(candidate: Settings, place: list[Any], name: str) -> Iterator[str]:
    """Yield what the start would have said about this secret; what else is in force has passed."""
    section = _at(candidate, place)
    try:
        type(section).model_validate(section.model_dump())
    except ValidationError as error:
        for details in error.errors(include_input=False):
            if details["loc"] in {(), (name,)}:
                yield sentence({**details, "loc": (*place, name)})


def _same_place(candidate: Settings, settings: Settings) -> bool:
    """Return whether the limits' storage is where it was, and has a password if it had one."""
    new, old = (chosen.limits.storage_url.get_secret_value() for chosen in (candidate, settings))
    has_password = [url != without_credentials(url) for url in (new, old)]
    return without_credentials(new) == without_credentials(old) and len(set(has_password)) == 1


def _dotted(path: list[Any]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
