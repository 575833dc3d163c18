"""The key store: whole copies of our own, or none."""

import fcntl
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from tests.builders import NOW
from tests.remote_issuers import Clock, a_set
from tests.security.forging import RS
from tokensvc.adapters.key_copies import MAX_COPY_BYTES, KeyCopy, KeyStoreError, parse_copy
from tokensvc.adapters.key_store import KeyStore

URL: Final = "https://login.example.test/jwks?tenant=1"
COPY: Final = KeyCopy(RS.issuer, URL, NOW, 300.0, a_set(RS, note="Schlüssel 🔑"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "keys"


@pytest.fixture
def store(folder: Path) -> KeyStore:
    return KeyStore(folder, now=lambda: NOW)


def the_file(folder: Path) -> Path:
    """Return the one copy in *folder*."""
    (file,) = folder.glob("*.json")
    return file


def reason_of(store: KeyStore) -> str:
    """Return why *store* cannot give the copy."""
    with pytest.raises(KeyStoreError) as caught:
        store.load(RS.issuer, URL)
    return caught.value.reason


def test_kept_and_read_back(store: KeyStore) -> None:
    """What was kept comes back, byte for byte."""
    assert store.load(RS.issuer, URL) is None
    store.save(COPY)

    assert store.load(RS.issuer, URL) == COPY


def test_modes(store: KeyStore, folder: Path) -> None:
    """Directory and file are nobody else's business, whatever the umask lets through."""
    before = os.umask(0)
    try:
        store.save(COPY)
    finally:
        os.umask(before)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(the_file(folder).stat().st_mode) == 0o600


def test_nothing_else_is_left(store: KeyStore, folder: Path) -> None:
    """A copy is one file beside the lock, also after an unfinished one was left by a crash."""
    store.save(COPY)
    (folder / f".{the_file(folder).name}").write_text("half")
    store.save(replace(COPY, fetched_at=NOW + 1))

    assert set(folder.iterdir()) == {the_file(folder), folder / ".lock"}
    assert store.load(RS.issuer, URL) == replace(COPY, fetched_at=NOW + 1)


def test_one_copy_for_each_url(store: KeyStore) -> None:
    """An issuer that moves its keys has a copy of its own for the new place."""
    store.save(COPY)

    assert store.load(RS.issuer, f"{URL}2") is None
    assert store.load(f"{RS.issuer}/", URL) is None


def test_version(store: KeyStore) -> None:
    """The version tells a new copy from the old one, and stays while nothing is written."""
    versions = [store.version(RS.issuer, URL)]
    for fetched_at in (NOW, NOW + 1):
        store.save(replace(COPY, fetched_at=fetched_at))
        versions += [store.version(RS.issuer, URL), store.version(RS.issuer, URL)]

    assert versions[0] is None
    assert versions[1] == versions[2] != versions[3] == versions[4]


def test_later_one_stays(store: KeyStore) -> None:
    """A slow fetch that began earlier does not bring a removed key back."""
    store.save(COPY)
    store.save(replace(COPY, fetched_at=NOW - 1, jwks=b"{}"))

    assert store.load(RS.issuer, URL) == COPY


def test_future_is_not_later(folder: Path) -> None:
    """After the clock was set back a copy from its future is not used, and gives way."""
    KeyStore(folder, now=lambda: NOW + 3600).save(replace(COPY, fetched_at=NOW + 3600))
    store = KeyStore(folder, now=lambda: NOW)

    assert reason_of(store) == "copy_from_the_future"
    store.save(COPY)
    assert store.load(RS.issuer, URL) == COPY


def test_little_ahead_is_told(folder: Path) -> None:
    """Set back by less than is noticed elsewhere, the clock has a new set kept by nobody: told."""
    KeyStore(folder, now=lambda: NOW + 30).save(replace(COPY, fetched_at=NOW + 30))
    store = KeyStore(folder, now=lambda: NOW)

    with pytest.raises(KeyStoreError) as caught:
        store.save(COPY)
    assert caught.value.reason == "copy_from_the_future"


def test_lock_is_nobody_elses_business(store: KeyStore, folder: Path) -> None:
    """Whoever can list the directory, and holds a lock on it, keeps us from nothing."""
    store.save(COPY)
    folder.chmod(0o755)
    foreign = os.open(folder, os.O_RDONLY)
    fcntl.flock(foreign, fcntl.LOCK_EX)
    try:
        store.save(replace(COPY, fetched_at=NOW + 1))
    finally:
        os.close(foreign)

    assert store.load(RS.issuer, URL) == replace(COPY, fetched_at=NOW + 1)
    assert stat.S_IMODE((folder / ".lock").stat().st_mode) == 0o600


def test_writer_who_never_ends_is_not_waited_for(store: KeyStore, folder: Path) -> None:
    """One of our own who hangs in the middle of it costs a second, and says so."""
    store.save(COPY)
    ours = os.open(folder / ".lock", os.O_RDWR)
    fcntl.flock(ours, fcntl.LOCK_EX)
    try:
        with pytest.raises(KeyStoreError) as caught:
            store.save(replace(COPY, fetched_at=NOW + 1))
    finally:
        os.close(ours)

    assert caught.value.reason == "directory_locked"


def test_writers_take_turns(folder: Path) -> None:
    """Of many writers at once the latest wins, and readers never see half a copy."""
    times = [NOW - rank for rank in range(24)]
    KeyStore(folder, now=lambda: NOW).save(replace(COPY, fetched_at=NOW - 100))
    ended = threading.Event()

    def read() -> set[str]:
        found = set()
        while not ended.is_set():
            copy = KeyStore(folder, now=lambda: NOW).load(RS.issuer, URL)
            found.add(copy.issuer if copy else "none")
        return found

    def write(fetched_at: float) -> None:
        KeyStore(folder, now=lambda: NOW).save(replace(COPY, fetched_at=fetched_at))

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(read)
        try:
            list(pool.map(write, times))
        finally:
            ended.set()

        assert reader.result() == {RS.issuer}
    assert KeyStore(folder, now=lambda: NOW).load(RS.issuer, URL) == COPY


# What others have touched.


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720])
def test_directory_open_to_others(store: KeyStore, folder: Path, mode: int) -> None:
    """Whoever may write there could choose the keys: it is neither read nor written."""
    store.save(COPY)
    folder.chmod(mode)

    assert reason_of(store) == "directory_open_to_others"
    with pytest.raises(KeyStoreError):
        store.save(COPY)
    with pytest.raises(KeyStoreError):
        store.version(RS.issuer, URL)


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o622])
def test_copy_open_to_others(store: KeyStore, folder: Path, mode: int) -> None:
    """Nor is a file that others may write to."""
    store.save(COPY)
    the_file(folder).chmod(mode)

    assert reason_of(store) == "copy_open_to_others"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(("is_directory", "reason"), [(True, "directory"), (False, "copy")])
def test_of_another_user(store: KeyStore, folder: Path, reason: str, *, is_directory: bool) -> None:
    """Nor is what belongs to somebody else."""
    store.save(COPY)
    os.chown(folder if is_directory else the_file(folder), 65534, 65534)

    assert reason_of(store) == f"{reason}_of_another_user"


def test_link_is_not_followed(store: KeyStore, folder: Path, tmp_path: Path) -> None:
    """A link in the place of a copy leads nowhere."""
    store.save(COPY)
    elsewhere = tmp_path / "elsewhere.json"
    the_file(folder).rename(elsewhere)
    (folder / store_name(store, folder)).symlink_to(elsewhere)

    assert reason_of(store) == "directory_cannot_be_used"


def store_name(store: KeyStore, folder: Path) -> str:
    """Return the file name that *store* uses, and leave no file."""
    store.save(COPY)
    file = the_file(folder)
    file.unlink()
    return file.name


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_only_a_file_is_read(store: KeyStore, folder: Path, kind: str) -> None:
    """A pipe in the place of a copy is not waited for, and a directory is no copy."""
    path = folder / store_name(store, folder)
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.mkdir(mode=0o700)

    assert reason_of(store) == "copy_malformed"


@pytest.mark.parametrize("blocked", ["file", "missing home"])
def test_directory_that_cannot_be(tmp_path: Path, blocked: str) -> None:
    """A directory that cannot be made is a word, and nothing worse."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "keys" if blocked == "file" else Path("~nobody-at-all/keys")

    store = KeyStore(path, now=lambda: NOW)

    assert reason_of(store) == "directory_cannot_be_opened"
    with pytest.raises(KeyStoreError, match="directory_cannot_be_made"):
        store.save(COPY)


def test_looking_makes_nothing(store: KeyStore, folder: Path) -> None:
    """Whoever only looks, perhaps as another user, leaves no directory behind."""
    assert store.load(RS.issuer, URL) is None
    assert store.version(RS.issuer, URL) is None

    assert not folder.exists()


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tilde is the service's own home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    KeyStore(Path("~/.cache/tokensvc/keys"), now=lambda: NOW).save(COPY)

    assert list((tmp_path / ".cache/tokensvc/keys").glob("*.json"))


# What a copy says.


def a_text(**changes: Any) -> bytes:
    """Return the text of a copy; a change to ... removes a member."""
    members = {**json.loads(COPY.to_text()), **changes}
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


ODD_TIMES: Final[list[object]] = ["1", True, None, -1, -0.5, [], {}]


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"[]", b"\xff", COPY.to_text()[:-9], a_text()[:-1] + b',"jwks":"{}"}'),
        *(a_text(**{name: ...}) for name in ("issuer", "url", "fetched_at", "max_age_s", "jwks")),
        *(a_text(**{name: 7}) for name in ("issuer", "url", "jwks")),
        *(a_text(fetched_at=odd) for odd in ODD_TIMES),
        *(a_text(max_age_s=odd) for odd in ODD_TIMES),
        a_text().replace(b"300.0", b"1e999"),
    ],
)
def test_no_copy(store: KeyStore, folder: Path, raw: bytes) -> None:
    """What is no copy in one reading is not used; the next good set takes its place."""
    store.save(COPY)
    the_file(folder).write_bytes(raw)

    assert reason_of(store) == "copy_malformed"
    store.save(COPY)
    assert store.load(RS.issuer, URL) == COPY


def test_largest_copy(store: KeyStore, folder: Path) -> None:
    """A copy is read up to its bound, and no further."""
    store.save(COPY)
    the_file(folder).write_bytes(a_text().ljust(MAX_COPY_BYTES))
    assert store.load(RS.issuer, URL) == COPY
    the_file(folder).write_bytes(a_text().ljust(MAX_COPY_BYTES + 1))

    assert reason_of(store) == "copy_malformed"


@pytest.mark.parametrize("changes", [{"issuer": "https://b.test"}, {"url": "https://b.test"}])
def test_copy_of_another(store: KeyStore, folder: Path, changes: dict[str, str]) -> None:
    """A copy under another one's name proves nothing."""
    store.save(COPY)
    the_file(folder).write_bytes(a_text(**changes))

    assert reason_of(store) == "copy_of_another_issuer"


def test_copy_does_not_print_its_keys() -> None:
    """The set is in no text that is made of a copy."""
    assert "kty" not in repr(COPY)
    assert parse_copy(COPY.to_text()) == COPY


def test_a_little_future_is_now(folder: Path) -> None:
    """A clock that is set back by seconds, as clocks are, does not make copies unusable."""
    clock = Clock()
    store = KeyStore(folder, now=clock.now)
    store.save(COPY)
    clock.set_by(-30)

    assert store.load(RS.issuer, URL) == COPY
