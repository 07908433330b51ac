"""What the tests of lines and of readers share."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import strategies as st

from translator.errors import DataError

# Characters at which one program or another ends a line, and what lies near them.
LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(LINE_ENDS + "\0\",;'\\ \u00a0\u202f\ufeff\u2581éœ😀"),
    )
)


def of_one_line(text: str) -> str:
    """The text without what ends a line or a field of a TSV, and without what is taken off."""
    return text.replace("\n", "").replace("\t", "").rstrip("\r").lstrip("\ufeff")


def refusal(read: Callable[[], Iterator[object]]) -> str:
    """The message with which reading ends."""
    with pytest.raises(DataError) as caught:
        list(read())
    assert "\n" not in str(caught.value)
    return str(caught.value)
