"""Helpers for the tests of lines and readers."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import strategies as st

from translator.data.readers import read_table
from translator.errors import DataError

read_csv = read_table
read_tsv = partial(read_table, delimiter="\t", quoted=False)

# Characters that some programs treat as line ends, and their neighbours.
LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(LINE_ENDS + "\0\",;'\\ \u00a0\u202f\ufeff\u2581éœ😀"),
    )
)


def of_one_line(text: str) -> str:
    """Return the text without line ends, tabs, and characters that the reader removes."""
    return text.replace("\n", "").replace("\t", "").rstrip("\r").lstrip("\ufeff")


def refusal(read: Callable[[], Iterator[object]]) -> str:
    """Return the message of the error that reading raises."""
    with pytest.raises(DataError) as caught:
        list(read())
    assert "\n" not in str(caught.value)
    return str(caught.value)
