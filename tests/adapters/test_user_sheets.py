"""User sheets: what is exported is imported as the same."""

import io

from hypothesis import given
from hypothesis import strategies as st

from tests.builders import a_user
from tokensvc.adapters.user_files import user_rows
from tokensvc.adapters.user_sheets import SHEETS, UserSheet
from tokensvc.domain.columns import Columns
from tokensvc.domain.model import ChatUser, Profile
from tokensvc.domain.ports import DirectoryUser
from tokensvc.domain.reconciling import differences
from tokensvc.domain.rosters import RosterReader
from tokensvc.domain.uids import exact, parse_uid

TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("=+-@'\";,\r\n\t["),
    max_size=20,
)
NAMES = TEXTS.map(str.strip).filter(bool)
USERS = st.builds(
    ChatUser,
    st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True).map(parse_uid),
    st.builds(
        Profile,
        name=NAMES,
        avatar=st.none() | st.just("https://x.test/a?b=1,2;3"),
        role=st.none() | NAMES,
        tags=st.lists(NAMES, max_size=4).map(tuple),
        metadata=st.dictionaries(TEXTS, NAMES | st.integers(), max_size=3),
    ),
)


def sheet_of(entries: list[DirectoryUser], file_format: str) -> str:
    stream = io.StringIO(newline="")
    sheet = UserSheet(stream, file_format)
    for entry in entries:
        sheet.add(entry)
    return stream.getvalue()


@given(st.lists(USERS, max_size=5))
def test_there_and_back(users: list[ChatUser]) -> None:
    """Whatever the users look like: nothing of them is lost or changed."""
    reader = RosterReader(Columns(), exact)
    for file_format in SHEETS:
        entries = [DirectoryUser(user, is_deactivated=False) for user in users]
        content = sheet_of(entries, file_format).encode()

        rows = [*user_rows(io.BytesIO(content), file_format)]

        assert [row.fault for row in rows] == [""] * len(users)
        back = [reader.read(row.fields) for row in rows]
        assert [user.uid for user in back] == [user.uid for user in users]
        assert [
            differences(user.profile, was.profile) for user, was in zip(back, users, strict=True)
        ] == [()] * len(users)


def test_no_formulas() -> None:
    """What a stranger chose as their name is not run by whoever opens the sheet."""
    user = a_user("eve", name='=HYPERLINK("http://x.test")', tags=("@sum",))

    sheet = sheet_of([DirectoryUser(user, is_deactivated=True)], "csv")

    assert sheet.splitlines()[1] == 'eve,"\'=HYPERLINK(""http://x.test"")",,,\'@sum,,true'
