"""Exercises: our functions pass, empty ones fail, and a learner's work is never overwritten."""

import ast
import doctest
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked import run_forked

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import exercise
import learner
from exercise import EXERCISES, ROOT

NUMBERS = pytest.mark.parametrize("number", EXERCISES)


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "exercise.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=280)


#: It would say that it cannot rewrite what is imported already.
IN_A_FORK = "-W ignore::pytest.PytestAssertRewriteWarning"


def check(number: int, folder: Path) -> subprocess.CompletedProcess[str]:
    """Grade an answer as the command does, but with a pytest that is forked."""
    tested: list[subprocess.CompletedProcess[str]] = []

    def start(command: list[str], *, cwd: Path, env: dict[str, str], check: bool) -> Any:
        assert not check
        tested.append(run_forked(command, cwd=cwd, env=env | {"PYTEST_ADDOPTS": IN_A_FORK}, text=True))
        return tested[-1]

    said, errors = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(errors):
        patch.setattr(exercise, "subprocess", SimpleNamespace(run=start))
        code = exercise.check(number, folder)
    [done] = tested
    return subprocess.CompletedProcess(
        done.args, code, done.stdout + said.getvalue(), done.stderr + errors.getvalue()
    )


@NUMBERS
def test_a_stub_is_our_function_without_its_body(number: int) -> None:
    stub, solved = (
        ast.parse(exercise.text_of(EXERCISES[number], solved=solved)).body[-1] for solved in (False, True)
    )
    assert isinstance(stub, ast.FunctionDef)
    assert isinstance(solved, ast.FunctionDef)
    assert stub.name == solved.name == EXERCISES[number].function
    assert ast.unparse(stub.args) == ast.unparse(solved.args)
    assert ast.get_docstring(stub) == ast.get_docstring(solved)
    assert [type(node) for node in stub.body] == [ast.Expr, ast.Raise]
    assert not any(isinstance(node, ast.Raise) for node in solved.body)


@NUMBERS
def test_what_a_stub_imports_is_there(number: int) -> None:
    for solved in (False, True):
        names: dict[str, object] = {}
        exec(exercise.text_of(EXERCISES[number], solved=solved), names)
        assert callable(names[EXERCISES[number].function])


@NUMBERS
def test_the_tests_that_grade_it_exist(number: int) -> None:
    for test in EXERCISES[number].tests:
        file, _, function = test.partition("::")
        assert f"def {function or 'test_'}" in (ROOT / file).read_text(encoding="utf-8")


def test_starting_writes_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "answers"
    assert exercise.start(1, folder) == 0
    path = folder / "1_causal_mask.py"
    fresh = path.read_text(encoding="utf-8")
    assert "NotImplementedError" in fresh
    path.write_text("# my work\n", encoding="utf-8")
    assert exercise.start(1, folder) == 1
    assert "--again" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "# my work\n"
    assert exercise.start(1, folder, again=True) == 0
    assert path.read_text(encoding="utf-8") == fresh


def test_checking_what_was_not_begun_says_how_to_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exercise.check(3, tmp_path) == 1
    assert "exercise.py start 3" in capsys.readouterr().err


#: Answers as the project's functions were before they were renamed, and one that was begun and left.
CAUSAL_KEEP = '''"""A mask that hides the future: translator.model.masks.causal_keep."""

import torch
from torch import Tensor


def causal_keep(length: int, *, device: torch.device | str | None = None) -> Tensor:
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]
'''
TOKEN_LOSS = '''"""Label smoothing: translator.training.loss.token_loss."""

import torch
from torch import Tensor
from torch.nn import functional as F


def token_loss(states: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    logits = states[: len(targets)] @ weight.t()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    smoothed = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    return smoothed, F.cross_entropy(logits.detach(), targets, reduction="sum")
'''
SELECT = '''"""The cache when a beam goes on: translator.model.cache.DecoderState.select."""

import torch
from torch import Tensor
from translator.model.attention import KeyValue


def select(self, sentences: Tensor, parents: Tensor) -> None:
    n = len(sentences)
    if n < len(self.descent):
        self.past = [kv[sentences] for kv in self.past]
        self.cross = [KeyValue(key[sentences], value[sentences]) for key, value in self.cross]
        if self.cross_bias is not None:
            self.cross_bias = self.cross_bias.index_select(0, sentences)
        self.descent = self.descent.index_select(0, sentences)
    self.descent = self.descent.gather(1, parents[..., None].expand(-1, -1, self.descent.size(2)))
'''
#: By number: the name of the file, the answer, and a change that makes it wrong.
FORMER = {
    1: ("1_causal_keep.py", CAUSAL_KEEP, (".tril()", ".tril(-1)")),
    4: ("4_token_loss.py", TOKEN_LOSS, ("label_smoothing=smoothing", "label_smoothing=smoothing / 2")),
}


@pytest.mark.parametrize("number", FORMER)
def test_a_file_begun_under_the_older_name_is_not_begun_again(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, text, _ = FORMER[number]
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert exercise.start(number, tmp_path) == 1
    assert f"{name} exists and may hold your work" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    # Control: a file under the present name counts before it.
    present = tmp_path / f"{number}_{EXERCISES[number].function}.py"
    present.touch()
    assert exercise.path_of(number, tmp_path) == present


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", FORMER)
def test_a_file_begun_under_the_older_name_is_graded(number: int, tmp_path: Path) -> None:
    name, text, (right, wrong) = FORMER[number]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    done = check(number, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert " passed" in done.stdout
    # Control: it is this function that was graded.
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    done = check(number, tmp_path)
    assert done.returncode == 1
    assert " failed" in done.stdout


def test_an_answer_for_the_older_cache_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "7_select.py"
    path.write_text(SELECT, encoding="utf-8")
    assert exercise.check(7, tmp_path) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"error: {path} was started before translator.engine.kv_cache changed: there is no "
    )
    assert "exercise.py start 7" in line
    assert path.read_text(encoding="utf-8") == SELECT


def test_a_function_is_called_by_position_and_with_the_options_it_has() -> None:
    def ours(query: int, mask: int, *, native: int = 0) -> object: ...

    def older(query: int, keep: int) -> object:
        return query, keep

    call = learner.adapted(older, ours)
    assert call(1, mask=2, native=3) == (1, 2)
    with pytest.raises(TypeError):
        call(1, keep=2)  # the contract is ours


#: Answers that are nearly right.
WRONG = {
    1: ("(1, 1, length, length)", ".tril()", ".tril(-1)"),
    2: ("softmax", "query.size(-1) ** -0.5", "query.size(-2) ** -0.5"),
    7: ("hypotheses", "n_hypotheses + parents)", "n_hypotheses + parents.sort(1).values)"),
    9: ("KeyValue", "self.dropout(weights) @", "weights @"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@NUMBERS
def test_our_own_function_is_right(number: int, tmp_path: Path) -> None:
    path = exercise.path_of(number, tmp_path)
    path.write_text(exercise.text_of(EXERCISES[number], solved=True), encoding="utf-8")
    # One of them by the command itself.
    done = run("check", "3", "--folder", tmp_path) if number == 3 else check(number, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"exercise {number}, {EXERCISES[number].title}: right" in done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [number for number in EXERCISES if number not in WRONG])
def test_an_empty_function_is_not(number: int, tmp_path: Path) -> None:
    path = exercise.path_of(number, tmp_path)
    path.write_text(exercise.text_of(EXERCISES[number]), encoding="utf-8")
    done = check(number, tmp_path)
    assert done.returncode == 1
    assert f"NotImplementedError: {EXERCISES[number].function} is yours to write" in done.stdout
    assert "not yet" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("number", WRONG)
def test_a_near_miss_is_seen(number: int, tmp_path: Path) -> None:
    present, right, wrong = WRONG[number]
    text = exercise.text_of(EXERCISES[number], solved=True)
    assert present in text
    assert right in text
    exercise.path_of(number, tmp_path).write_text(text.replace(right, wrong), encoding="utf-8")
    done = check(number, tmp_path)
    assert done.returncode == 1
    assert " failed" in done.stdout


@pytest.mark.parametrize("text", ["def causal_mask(:\n", "import nothing_of_this_name\n", "x = 1\n"])
def test_a_file_that_cannot_be_used_is_refused_before_any_test(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exercise.path_of(1, tmp_path)
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv(exercise.NUMBER, "1")
    monkeypatch.setenv(exercise.FILE, str(path))
    with pytest.raises(pytest.UsageError, match=r"1_causal_mask\.py cannot be used: \w+Error: "):
        learner.pytest_configure()


@pytest.mark.slow
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    exercise.path_of(1, tmp_path).write_text("def causal_mask(:\n", encoding="utf-8")
    done = run("check", "1", "--folder", tmp_path)
    assert done.returncode == 1
    assert "1_causal_mask.py cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


PAGE = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\d)\. (.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def test_the_page_has_every_exercise() -> None:
    assert list(map(int, SECTIONS)) == list(EXERCISES)
    for number, section in SECTIONS.items():
        expected = EXERCISES[int(number)]
        assert section.splitlines()[0].lower() == expected.title
        assert f"`{expected.name}`" in section
        for part in ("**Read**", "**Write**", "**See**", "<details><summary>Hint</summary>", "```pycon"):
            assert section.count(part) == 1


def shown(number: int, *, solved: bool = True) -> list[str]:
    """Run what the page has a learner type; return what it showed that the page does not say."""
    names: dict[str, object] = {}
    exec(exercise.text_of(EXERCISES[number], solved=solved), names)
    [block] = re.findall(r"^```pycon\n(.*?)^```$", SECTIONS[str(number)], re.DOTALL | re.MULTILINE)
    reports: list[str] = []
    test = doctest.DocTestParser().get_doctest(block, names, f"exercise {number}", None, 0)
    doctest.DocTestRunner(verbose=False).run(test, out=reports.append)
    return reports


@NUMBERS
def test_what_is_to_be_seen_is_seen_with_our_function_only(number: int) -> None:
    assert shown(number) == []
    assert "NotImplementedError" in "".join(shown(number, solved=False))
