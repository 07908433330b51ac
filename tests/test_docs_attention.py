"""docs/attention.md: its code runs and shows what it says, and every number in it is computed here again."""

import doctest
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from translator.model.attention import attention_weights
from translator.model.masks import causal_mask

PAGE = Path(__file__).resolve().parent.parent / "docs" / "attention.md"
TEXT = PAGE.read_text(encoding="utf-8")
#: Without its code.
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.DOTALL | re.MULTILINE)

TOKENS = ("le", "chat", "dort")
QUERY, KEY, VALUE = (
    torch.tensor(rows)
    for rows in (
        [[0.0, 2, 0, 0], [1, 0, 2, 0], [0, 2, 1, 0]],
        [[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]],
        [[1.0, 0, 0, 2], [0, 1, 0, 4], [0, 0, 1, 8]],
    )
)


def weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> Tensor:
    """(Q, E) queries and (K, E) keys → (Q, K) weights."""
    return attention_weights(query[None, None], key[None, None], mask)[0, 0]


def row(name: str, numbers: Sequence[float]) -> str:
    """A row of a table."""
    return f"| {name} | " + " | ".join(f"{number:.3f}" for number in numbers) + " |"


def table_rows() -> Iterator[str]:
    """Every row of numbers that the page should have."""
    for triple in zip(TOKENS, QUERY, KEY, VALUE, strict=True):
        name, *vectors = triple
        yield f"| {name} | " + " | ".join(" ".join(f"{x:.0f}" for x in v.tolist()) for v in vectors) + " |"
    plain, causal = weights(QUERY, KEY), weights(QUERY, KEY, causal_mask(3))
    for rows in (plain, plain @ VALUE, causal):
        yield from (row(name, numbers) for name, numbers in zip(TOKENS, rows.tolist(), strict=True))
    for head in (0, 1):
        half = slice(2 * head, 2 * head + 2)
        yield row(f"with head {head + 1}", weights(QUERY[:, half], KEY[:, half])[1].tolist())


def prose_numbers() -> set[str]:
    """Every decimal number that the page may name outside its tables."""
    exponentials = (QUERY[1] @ KEY.T / 2).exp()
    uniform = weights(QUERY[:1, 2:], KEY[:, 2:])
    mixed = weights(QUERY, KEY)[1] @ VALUE
    found = [
        *exponentials.tolist(),
        exponentials.sum().item(),
        exponentials[:2].sum().item(),  # what the causal mask leaves
        *weights(QUERY, KEY)[1].tolist(),
        mixed[3].item(),
        uniform[0, 0].item(),
    ]
    return {f"{number:.3f}" for number in found}


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```pycon\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def failures(text: str) -> list[str]:
    """Run a page's code; return the differences from what the page shows."""
    source = "\n".join(code_blocks(text))  # an expected output ends at an empty line
    test = doctest.DocTestParser().get_doctest(source, {}, PAGE.name, str(PAGE), 0)
    shown: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=shown.append)
    return shown


def test_the_code_shows_what_the_page_says() -> None:
    assert len(code_blocks(TEXT)) >= 8
    assert failures(TEXT) == []


def test_control_another_number_in_the_code_is_seen() -> None:
    first, second = (block for block in code_blocks(TEXT)[:2])
    changed = f"```pycon\n{first.replace('6.172', '6.173')}```\n```pycon\n{second}```\n"
    [report] = failures(changed)
    assert "6.173" in report


@pytest.mark.parametrize("expected", list(table_rows()))
def test_a_row_of_numbers_is_there(expected: str) -> None:
    assert expected in PROSE.splitlines()


def test_every_other_number_is_one_that_was_computed() -> None:
    rest = "\n".join(line for line in PROSE.splitlines() if line not in set(table_rows()))
    assert set(re.findall(r"\d+\.\d{3}", rest)) == prose_numbers()
    # Control: no decimal number escapes by being written differently. 3.2 is a section of a paper.
    others = set(re.findall(r"\d+\.\d+", rest)) - prose_numbers()
    assert others == {"3.2"}


def test_scores_are_as_in_the_text() -> None:
    score_of_chat = (QUERY[1] @ KEY.T).tolist()
    assert score_of_chat == [2, 0, 4]
    assert [score / 2 for score in score_of_chat] == [1, 0, 2]


def test_every_picture_is_small_and_has_its_command() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\((images/[\w-]+\.png)\)", TEXT)
    for name in pictures:
        path = PAGE.parent / name
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert path.stat().st_size < 60_000
        assert f"--png docs/{name}" in TEXT
    shown = {Path(name).name for name in pictures}
    assert shown == {path.name for path in (PAGE.parent / "images").glob("attention-*.png")}


def steps_of_the_page() -> set[tuple[str, str]]:
    """Each step that the page of `translator explain` names, with the section that it refers to."""
    folder = PAGE.parent.parent / "translator" / "explain" / "template"
    html = (folder / "page.html").read_text(encoding="utf-8")
    assert html.count("<code>docs/attention.md</code>") == 1
    found = re.findall(r"<(?:h4|legend)>([^<]+) <small>§ (\d)</small>", html)
    assert html.count("§ ") == len(found)
    return set(found)


def steps_of_the_text(text: str) -> set[tuple[str, str]]:
    """Each step of that page that is named here, with the section in which it is named."""
    found = set()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        sentences = re.findall(r"In the page of `translator explain`, click a cell[^.]*\.", section)
        names = re.findall(r"\*([A-Z][a-z ]+)\*", " ".join(sentences))
        found |= {(name, section.split(".")[0]) for name in names}
    return found


def test_the_page_of_explain_and_this_one_refer_to_each_other() -> None:
    assert steps_of_the_page() == steps_of_the_text(TEXT)
    assert len(steps_of_the_page()) == 9
    # Control: another section is seen.
    assert steps_of_the_text(TEXT.replace("## 2. What", "## 3. What")) != steps_of_the_page()
