"""`translator align` and `evaluate --alignments`: a line a pair, scores against people's links."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from phrases import Trained

from translator.alignment.links import diagonal, format_links, parse_links
from translator.alignment.words import words
from translator.cli import main
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

Files = tuple[Path, Path]


class Output(NamedTuple):
    code: int | str | None
    out: str
    err: str


def run(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> Output:
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return Output(stopped.value.code, *capfd.readouterr())


def refusal(done: Output, code: int = 1) -> str:
    assert (done.code, done.out) == (code, "")
    [line] = done.err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Five pairs: one is blank on one side, one on both."""
    source, target = tmp_path / "a.fr", tmp_path / "a.en"
    source.write_text("Le chat dort à Lyon.\n\nMa sœur chante.\n \nLa reine\u2028attend.\n", encoding="utf-8")
    target.write_text(
        "The cat sleeps in Lyon.\n\nMy sister sings.\nYes.\nThe queen waits.\n", encoding="utf-8"
    )
    return source, target


def aligned(
    capfd: pytest.CaptureFixture[str], trained: Trained, files: Files, *options: str | Path
) -> list[str]:
    source, target = files
    done = run(capfd, "align", "--model", trained.model, "--source", source, "--target", target, *options)
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("\n")
    return done.out.split("\n")[:-1]


def test_align_prints_a_line_a_pair(
    capfd: pytest.CaptureFixture[str], trained: Trained, files: Files
) -> None:
    lines = aligned(capfd, trained, files)
    sides = [path.read_text(encoding="utf-8").split("\n")[:-1] for path in files]
    links = Aligner(Translator.load(trained.model)).align(*sides)
    assert lines == [format_links(found) for found in links]
    assert [bool(line) for line in lines] == [True, False, True, False, True]
    assert aligned(capfd, trained, files, "--layer", "1", "--batch-size", "1") == lines


def test_align_counts_and_splits_as_asked(
    capfd: pytest.CaptureFixture[str], trained: Trained, files: Files
) -> None:
    lines = aligned(capfd, trained, files)
    from_one = aligned(capfd, trained, files, "--one-based")
    assert [parse_links(line, where="out", one_based=True) for line in from_one] == [
        parse_links(line, where="out") for line in lines
    ]
    assert from_one != lines
    spaced = files[0].with_name("spaced.fr"), files[1].with_name("spaced.en")
    for path, of in zip(spaced, files, strict=True):
        texts = of.read_text(encoding="utf-8").split("\n")[:-1]
        path.write_text("".join(" ".join(words(text)) + "\n" for text in texts), encoding="utf-8")
    assert aligned(capfd, trained, spaced, "--tokenized")[:4] == lines[:4]


def test_evaluate_scores_links_of_the_split(
    capfd: pytest.CaptureFixture[str], trained: Trained, tmp_path: Path
) -> None:
    """With the diagonal as gold, the baseline has no errors and our links have some."""
    pairs = list(zip(trained.lines("test.fr"), trained.lines("test.en"), strict=True))
    gold = tmp_path / "gold"
    straight = [diagonal(len(words(source)), len(words(target))) for source, target in pairs]
    gold.write_text("".join(format_links(links) + "\n" for links in straight), encoding="utf-8")
    done = run(capfd, "evaluate", "--model", trained.model, "--alignments", gold, "--json")
    found = json.loads(done.out)
    assert (found["test_set"], found["n_lines"], found["layers"]) == ("test", len(pairs), [1])
    assert found["gold"] == str(gold)
    assert found["diagonal"]["aer"] == 0
    assert 0 < found["one_way"]["aer"] < 1
    assert "both_ways" not in found
    lines = run(capfd, "evaluate", "--model", trained.model, "--alignments", gold).out.splitlines()
    assert lines[0] == f"test: {len(pairs)} lines, {sum(map(len, straight))} sure links, decoder layer 1"
    assert lines[1].split() == ["%", "precision", "recall", "AER"]
    assert lines[2].split() == ["diagonal", "100.00", "100.00", "0.00"]
    assert lines[3].startswith("one way")
    assert float(lines[3].split()[-1]) == pytest.approx(100 * found["one_way"]["aer"], abs=0.006)


def test_evaluate_scores_links_of_given_files_as_they_count(
    capfd: pytest.CaptureFixture[str], trained: Trained, files: Files, tmp_path: Path
) -> None:
    own = ("evaluate", "--model", trained.model, "--source", files[0], "--reference", files[1], "--json")
    gold = tmp_path / "gold"
    for options in ((), ("--one-based",), ("--tokenized",), ("--tokenized", "--one-based")):
        ours = aligned(capfd, trained, files, *options)
        gold.write_text("".join(f"{line}\n" for line in ours), encoding="utf-8")
        found = json.loads(run(capfd, *own, "--alignments", gold, *options).out)
        assert found["one_way"]["aer"] == 0
    assert found["diagonal"]["aer"] > 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0-0", "", "0:0", "", ""], "gold:3: '0:0' is not a link"),
        (["0-0", "", "0-9", "", ""], "gold:3: '0-9' is beyond the pair's 4 and 4 words"),
        (["0-0", "0-0", "", "", ""], "gold:2: '0-0' is beyond the pair's 0 and 0 words"),
        (["0-0"], "has 1 lines and the text 5; give one line for each pair"),
    ],
)
def test_a_gold_that_does_not_fit_is_refused(
    capfd: pytest.CaptureFixture[str],
    trained: Trained,
    files: Files,
    tmp_path: Path,
    lines: list[str],
    message: str,
) -> None:
    gold = tmp_path / "gold"
    gold.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    own = ("--model", trained.model, "--source", files[0], "--reference", files[1])
    assert message in refusal(run(capfd, "evaluate", *own, "--alignments", gold))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "--tokenized"), "--tokenized has no effect without --alignments"),
        (("evaluate", "--layer", "1"), "--layer has no effect without --alignments"),
        (("evaluate", "--alignments", "gold", "--beam", "2"), "--beam has no effect with --alignments"),
        (("evaluate", "--alignments", "gold", "--output", "o"), "--output has no effect with --alignments"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert message in refusal(run(capfd, *arguments), code=2)


def test_what_align_cannot_do_is_one_line(
    capfd: pytest.CaptureFixture[str], trained: Trained, files: Files
) -> None:
    source, target = files
    own = ("align", "--model", trained.model, "--source", source, "--target")
    assert "layer 2 does not exist" in refusal(run(capfd, *own, target, "--layer", "2"), code=2)
    wrong = ("--reverse-model", trained.model)
    assert "give one that translates en to fr" in refusal(run(capfd, *own, target, *wrong), code=2)
    assert "there is no such file" in refusal(run(capfd, *own, target.with_name("none")))
    short = target.with_name("short")
    short.write_text("Yes.\n", encoding="utf-8")
    assert "short" in refusal(run(capfd, *own, short))
