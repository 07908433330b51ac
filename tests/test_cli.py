"""The command line: the output of each verb, and one clear line for each error."""

import io
import json
import math
import os
import re
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import ne
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from phrases import Trained, command, environment, write_phrases

from translator.cli import COMMANDS, main
from translator.cli.options import PREPARING
from translator.config.file import load_config
from translator.data.noise import CHANGES
from translator.engine import native_library
from translator.evaluation.metrics import bleu
from translator.model_folder import MANIFEST, WEIGHTS
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

VERBS = (
    "train",
    "check-data",
    "translate",
    "synthesize",
    "evaluate",
    "score",
    "align",
    "serve",
    "explain",
    "export",
    "info",
)

LONG = "Le chat dort dans la maison et la reine chante sous le pont, " * 8
#: Lines that break filters which are careless: each with its ending.
HARD = (
    "Le chat dort dans la maison.\n",
    "\n",
    " \t\u00a0\n",
    LONG + "\n",
    "x" * 300 + "\n",
    "Ma sœur\u2028chante\u0085à Lyon.\n",
    "La reine\0dort.\n",
    "🐈 😀👩‍👩‍👧 dort\n",
    "القطة تنام في البيت\n",
    "Mon voisin travaille au marché.\r\n",
    "\r\n",
    "un\rdeux\n",
    "\u2581Le\u2581chat\n",
    "La reine attend devant la gare.",
)


class Output(NamedTuple):
    code: int | str | None
    out: str
    err: str

    def lines(self) -> list[str]:
        """The lines of stdout, each ended by a line feed."""
        *lines, after = self.out.split("\n")
        assert after == ""
        return lines

    def refusal(self, code: int = 1) -> str:
        """The single line on stderr of a command that failed."""
        assert (self.code, self.out) == (code, ""), self.err
        [line] = [line for line in self.err.splitlines() if line != PREPARING]
        assert line.startswith("error: ")
        return line


Run = Callable[..., Output]


@pytest.fixture
def run(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Run]:
    """A function `(*arguments, stdin=b"") -> Output` that runs the command in this process."""

    def call(*arguments: str | Path, stdin: bytes = b"") -> Output:
        path = tmp_path / "stdin"
        path.write_bytes(stdin)
        capfdbinary.readouterr()
        with path.open() as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", file)
            with pytest.raises(SystemExit) as stopped:
                main([str(argument) for argument in arguments])
            # After an error the reader thread is still running, and would read from the next file that gets
            # the same file descriptor.
            for thread in threading.enumerate():
                if "(read)" in thread.name:
                    thread.join(timeout=60)
        out, err = capfdbinary.readouterr()
        return Output(stopped.value.code, out.decode(), err.decode())

    return call  # type: ignore[return-value]


@pytest.fixture
def model(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the model folder below `tmp_path/runs`, which tests may change."""
    folder = tmp_path / "runs" / "copy" / "model"
    shutil.copytree(trained.model, folder)
    return folder


def answers(model: Path, texts: list[str]) -> list[str]:
    """Translate each text separately."""
    translator = Translator.load(model)
    return [translator.translate(text).text for text in texts]


# -- translate -----------------------------------------------------------------------------------------


def test_texts_as_arguments(run: Run, trained: Trained) -> None:
    texts = ["Le chat dort à Lyon.", "", "La reine chante sous le pont."]
    done = run("translate", "--model", trained.model, *texts)
    assert (done.code, done.err) == (0, "")
    assert done.lines() == answers(trained.model, texts)
    assert [bool(line) for line in done.lines()] == [True, False, True]


def test_a_text_that_was_no_utf8_on_the_command_line(run: Run, trained: Trained) -> None:
    done = run("translate", "--model", trained.model, "--jsonl", "caf\udce9")
    assert json.loads(done.out)["source"] == "caf\ufffd"


def test_as_many_lines_out_as_in_and_in_order(run: Run, trained: Trained) -> None:
    done = run("translate", "--model", trained.model, stdin="".join(HARD).encode())
    assert (done.code, done.err) == (0, "")
    found = done.lines()
    assert len(found) == len(HARD)
    texts = [line.removesuffix("\n") for line in HARD]
    assert [line.endswith("\r") for line in found] == [line.endswith("\r") for line in texts]
    assert [line.removesuffix("\r") for line in found] == answers(trained.model, texts)
    assert [line.removesuffix("\r") == "" for line in found] == [not text.strip() for text in texts]
    parts = Translator.load(trained.model).translate(LONG).n_parts
    assert parts > 1, "the long line is longer than the model takes"


@pytest.mark.parametrize(
    ("stdin", "n_lines"), [(b"", 0), (b"\n", 1), (b"\n\n", 2), (b"Le chat", 1), (b"\r", 1), (b"a\n\n", 2)]
)
def test_small_inputs(run: Run, trained: Trained, stdin: bytes, n_lines: int) -> None:
    done = run("translate", "--model", trained.model, stdin=stdin)
    assert (done.code, done.err) == (0, "")
    assert len(done.lines()) == n_lines


def test_the_same_bytes_at_any_batch_size(run: Run, trained: Trained) -> None:
    lines = [*trained.lines("test.fr"), *trained.lines("train.fr")[:30]]
    stdin = "".join([*(f"{line}\n" for line in lines), *HARD]).encode()
    found = [
        run("translate", "--model", trained.model, "--batch-size", size, stdin=stdin).out
        for size in ("1", "7", "64")
    ]
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].split("\n"))) > 10


@pytest.mark.parametrize("size", ["1", "64"])
def test_input_that_is_no_utf8_is_read_with_one_warning(run: Run, trained: Trained, size: str) -> None:
    lines = [b"Le chat dort.", b"caf\xe9", b"\xff\xfe", b"La reine \xc3", b"Fin."] * 10
    done = run(
        "translate", "--model", trained.model, "--jsonl", "--batch-size", size, stdin=b"\n".join(lines)
    )
    assert done.code == 0
    [warning] = done.err.splitlines()
    assert warning.startswith("warning: ")
    assert "U+FFFD" in warning
    sources = [json.loads(line)["source"] for line in done.lines()]
    assert sources == ["Le chat dort.", "caf\ufffd", "\ufffd\ufffd", "La reine \ufffd", "Fin."] * 10


def test_text_that_looks_like_another_encoding_is_warned_of(run: Run, trained: Trained) -> None:
    given = "Oui.\nLe chat dort.\n"
    done = run("translate", "--model", trained.model, stdin=given.encode() + given.encode("utf-16-le"))
    assert done.code == 0
    assert done.err == "warning: line 3 contains NULs; if it is not UTF-8, convert it\n"


@pytest.mark.parametrize(
    ("override", "code"), [("search.beam_size=1", 2), ("search.bem=1", 2), ("train.seed=abc", 1)]
)
def test_overrides_that_evaluating_does_not_heed_are_refused(
    run: Run, model: Path, override: str, code: int
) -> None:
    assert override.partition("=")[0] in run("evaluate", "--model", model, override).refusal(code)
    own = ("--source", model / "config.json", "--reference", model / "config.json")
    said = run("evaluate", "--model", model, *own, override).refusal(2)
    assert said.endswith("leave it out with --source")


def test_jsonl_is_an_object_a_line(run: Run, trained: Trained) -> None:
    done = run("translate", "--model", trained.model, "--jsonl", stdin="".join(HARD).encode())
    records = [json.loads(line) for line in done.lines()]
    plain = run("translate", "--model", trained.model, stdin="".join(HARD).encode()).lines()
    assert [record["line"] for record in records] == list(range(1, len(HARD) + 1))
    assert [record["source"] for record in records] == [line.removesuffix("\n").rstrip("\r") for line in HARD]
    assert [record["text"] for record in records] == [line.removesuffix("\r") for line in plain]
    assert all("n_best" not in record for record in records)
    for record in records:
        assert (record["score"] < 0) == bool(record["source"].strip())
        assert (record["parts"] > 0) == bool(record["source"].strip())
    assert records[3]["parts"] > 1


def test_n_best(run: Run, trained: Trained) -> None:
    texts = ["Le chat dort à Lyon.", " ", "La reine chante."]
    done = run("translate", "--model", trained.model, "--n-best", "3", *texts)
    rows = [line.split("\t") for line in done.lines()]
    assert [row[0] for row in rows] == ["1"] * 3 + ["2"] + ["3"] * 3
    assert rows[3] == ["2", "0.0000", ""]
    for first in (0, 4):
        scores = [float(score) for _, score, _ in rows[first : first + 3]]
        assert scores == sorted(scores, reverse=True)
        assert len({text for _, _, text in rows[first : first + 3]}) > 1
    best = run("translate", "--model", trained.model, *texts).lines()
    assert [rows[0][2], rows[3][2], rows[4][2]] == best

    as_json = run("translate", "--model", trained.model, "--n-best", "3", "--jsonl", *texts).lines()
    records = [json.loads(line) for line in as_json]
    assert [len(record["n_best"]) for record in records] == [3, 0, 3]
    assert [found["text"] for found in records[0]["n_best"]] == [row[2] for row in rows[:3]]


@pytest.mark.parametrize("stdin", [False, True])
def test_more_translations_than_the_beam_holds_are_refused(run: Run, trained: Trained, stdin: bool) -> None:
    text, piped = ((), b"Le chat.\n") if stdin else (("Le chat.",), b"")
    done = run("translate", "--model", trained.model, "--n-best", "4", *text, stdin=piped)
    assert "n-best 4 is above the beam size 3" in done.refusal(2)
    wider = run("translate", "--model", trained.model, "--n-best", "4", "--beam", "4", *text, stdin=piped)
    assert len(wider.lines()) == 4


def test_every_translation_begins_with_the_prefix(run: Run, trained: Trained) -> None:
    texts = ["Le chat dort à Lyon.", "La reine chante."]
    done = run("translate", "--model", trained.model, "--prefix", "My « œ »", *texts)
    assert all(line.startswith("My « œ »") for line in done.lines())
    assert len(done.lines()) == 2
    for blank in (" ", "\t", "\u00a0", "\u202f", "\u200b", "\ufeff", " \u2009\t "):
        for prefix in (f"My « œ »{blank}", f"{blank}My « œ »", f"{blank}My « œ »{blank}"):
            blanks = run("translate", "--model", trained.model, "--prefix", prefix, *texts)
            assert (blanks.code, blanks.out) == (0, done.out), repr(prefix)
        nothing = run("translate", "--model", trained.model, "--prefix", blank, *texts)
        assert nothing.lines() == answers(trained.model, texts)
    refused = run("translate", "--model", trained.model, "--prefix", "a\nb", *texts)
    assert "line break" in refused.refusal(2)


def test_a_text_that_begins_with_a_dash(run: Run, trained: Trained) -> None:
    text = "- Le chat dort à Lyon."
    for refused in (text, "-x", "--le chat", "--?"):
        assert "after --, as in" in run("translate", "--model", trained.model, refused).refusal(2)
    done = run("translate", "--model", trained.model, "--", text)
    assert (done.code, done.lines()) == (0, answers(trained.model, [text]))


@pytest.mark.slow
def test_a_prompt_stays_out_of_the_results(trained: Trained, tmp_path: Path) -> None:
    """A terminal as input, standard output to a file, and input that is not UTF-8."""
    ours, theirs = os.openpty()
    with (
        (tmp_path / "results").open("wb") as results,
        open(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            command("translate", "--model", trained.model),
            stdin=theirs,
            stdout=results,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        os.close(theirs)
        assert process.stderr is not None
        said = b""
        for typed in (b"Le chat dort \xc3\xa0 Lyon.\n", b"caf\xe9\n", b"\x04"):
            while not said.endswith(b"fr> "):
                read = os.read(process.stderr.fileno(), 100)
                assert read, said
                said += read
            terminal.write(typed)
            said += b"|"
        said += process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert said == b"type a sentence; help says more, exit or Ctrl-D ends the session\nfr> |fr> |fr> |\n"
    expected = answers(trained.model, ["Le chat dort à Lyon.", "caf\ufffd"])
    assert (tmp_path / "results").read_text(encoding="utf-8").split("\n") == [*expected, ""]


def test_a_prompt_on_a_terminal(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    typed = iter(["Le chat dort à Lyon.", "La reine chante.", "", "never read"])
    prompts: list[str] = []

    def type_line(prompt: str) -> str:
        prompts.append(prompt)
        return next(typed)

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", type_line)
    with pytest.raises(SystemExit) as stopped:
        main(["translate", "--model", str(trained.model)])
    assert stopped.value.code == 0
    expected = answers(trained.model, ["Le chat dort à Lyon.", "La reine chante."])
    assert capsys.readouterr().out.split("\n") == [*expected, ""]
    assert prompts == ["fr> "] * 3


def test_the_newest_finished_run_is_the_default(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, name in enumerate(("newest", "b-older", "z-oldest")):
        folder = tmp_path / "runs" / name / "model"
        shutil.copytree(trained.model, folder)
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest["created"] = f"2026-01-0{9 - age}T00:00:00+00:00"
        (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        os.utime(folder / MANIFEST, (1_700_000_000 + age, 1_700_000_000 + age))  # as a copy may leave it
    shutil.copytree(trained.model, tmp_path / "runs" / "unfinished" / "model")
    (tmp_path / "runs" / "unfinished" / "model" / MANIFEST).unlink()
    monkeypatch.chdir(tmp_path)
    done = run("translate", "Le chat dort à Lyon.")
    assert done.code == 0
    assert done.err.splitlines() == [f"model: {Path('runs', 'newest', 'model')}"]
    assert done.lines() == answers(trained.model, ["Le chat dort à Lyon."])


#: Verbs that make a model, or look at data.
WITHOUT_MODEL = ("import", "import-model", "train", "check-data")


@pytest.mark.parametrize("verb", [name for name in COMMANDS if name not in WITHOUT_MODEL])
def test_each_verb_takes_a_run_and_by_default_the_newest(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The model is damaged, so that no verb does more than look for it."""
    monkeypatch.chdir(tmp_path)
    (model / WEIGHTS).unlink()
    (tmp_path / "a").write_text("Bonjour.\n")
    pairs = ["--source", "a", "--target", "a"]
    arguments = {
        **{
            "translate": ["Bonjour."],
            "synthesize": ["a", "--output", "new.tsv"],
            "score": pairs,
            "align": pairs,
        },
        **{"explain": ["Bonjour.", "--output", "new.html"], "serve": ["--port", "0"], "export": ["new"]},
    }.get(verb, [])
    run_option = ["runs/copy"] if verb == "info" else ["--model", "runs/copy"]
    for done in (run(verb, *arguments), run(verb, *arguments, *run_option)):
        assert done.code == 1
        assert "model: runs/copy/model\n" in done.err
        assert f"runs/copy/model/{WEIGHTS}: missing" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("translate", "Bonjour."),
        ("info",),
        ("evaluate",),
        ("export", "out"),
        ("score", "--source", "a", "--target", "a"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_any_run_the_line_says_make_train(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("Bonjour.\n")
    (tmp_path / "runs" / "unfinished" / "model").mkdir(parents=True)
    assert "`translator train phrasebook`" in run(*arguments).refusal()


# -- evaluate and score --------------------------------------------------------------------------------


def evaluate(run: Run, *arguments: str | Path) -> dict[str, object]:
    done = run("evaluate", "--json", *arguments)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert isinstance(found, dict)
    return found


def test_evaluate_scores_the_test_split(run: Run, trained: Trained, model: Path) -> None:
    found = evaluate(run, "--model", model)
    for metric in ("bleu", "chrf", "ter"):
        score = found[metric]
        assert isinstance(score, dict)
        assert list(score) == ["score", "low", "high", "signature"]
        assert score["low"] <= score["high"]
        assert "nrefs:1" in score["signature"]
    assert found["n_lines"] == len(trained.lines("test.fr")) == 10
    assert found["test_set"] == "test"
    # Training printed the same: same model, same test set.
    said = json.loads((model / MANIFEST).read_text())["scores"]["test"]
    assert [found[name] for name in ("bleu", "chrf", "ter")] == [
        said[name] for name in ("bleu", "chrf", "ter")
    ]
    # No output file without --output.
    assert "hypotheses" not in found
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]


def test_evaluate_says_it_to_people(run: Run, model: Path) -> None:
    done = run("evaluate", "--model", model, "--beam", "1")
    assert (done.code, done.err) == (0, "")
    head, *scores, baseline = done.lines()
    assert head.startswith("test: 10 lines, beam 1, float32, ")
    assert [line.split()[0] for line in scores] == ["BLEU", "chrF", "TER"]
    assert all("95 %" in line and "version:" in line for line in scores)
    assert baseline.startswith("copying the source: BLEU ")
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]


def test_evaluate_writes_translations_where_it_is_told_to(run: Run, trained: Trained, model: Path) -> None:
    output = model.parent / "ours.txt"
    done = run("evaluate", "--model", model, "--output", output)
    assert (done.code, done.err) == (0, f"translations: {output}\n")
    assert output.read_text().split("\n") == [*answers(model, trained.lines("test.fr")), ""]
    assert evaluate(run, "--model", model, "--output", output)["hypotheses"] == str(output)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
@pytest.mark.parametrize("as_json", [False, True])
def test_scores_are_there_whatever_becomes_of_the_file(run: Run, model: Path, as_json: bool) -> None:
    """A full disk behind a symbolic link; a read-only disk fails at the same point."""
    (model.parent / "link").symlink_to("/dev/full")
    form = ("--json",) if as_json else ()
    done = run("evaluate", "--model", model, "--output", model.parent / "link", *form)
    assert done.code == 1
    assert json.loads(done.out)["bleu"]["score"] if as_json else "BLEU" in done.out
    [line] = done.err.splitlines()
    assert line.startswith(f"error: --output {model.parent / 'link'}: cannot be written: No space left")
    assert (model.parent / "link").readlink() == Path("/dev/full")


def test_what_is_read_is_not_written_over(run: Run, trained: Trained, model: Path, tmp_path: Path) -> None:
    for name in ("test.fr", "test.en"):
        shutil.copy(trained.root / "corpus" / name, tmp_path / name)
    own = ("--source", tmp_path / "test.fr", "--reference", tmp_path / "test.en")
    (tmp_path / "link").symlink_to("test.en")
    line = run("evaluate", "--model", model, *own, "--output", tmp_path / "link").refusal(2)
    assert "this is an input file" in line
    assert (tmp_path / "test.en").read_bytes() == (trained.root / "corpus" / "test.en").read_bytes()


@pytest.mark.skipif(
    native_library.load_library() is None, reason=f"no C operations: {native_library.problem()}"
)
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_lower_precision_is_named(run: Run, trained: Trained, model: Path, precision: str) -> None:
    scored = evaluate(run, "--model", model, "--precision", precision)
    assert scored["precision"] == precision
    assert evaluate(run, "--model", model)["precision"] == "float32"
    source = trained.lines("test.fr")[0]
    lower = run("translate", "--model", model, "--precision", precision, "--jsonl", source)
    plain = run("translate", "--model", model, "--jsonl", source)
    assert lower.code == plain.code == 0
    assert json.loads(lower.out)["score"] != json.loads(plain.out)["score"]  # the precision had an effect
    assert "int3" in run("translate", "--model", model, "--precision", "int3", source).refusal(2)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_that_pytorch_decodes_for_want_of_the_c_library_is_said(
    run: Run, trained: Trained, model: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = trained.lines("test.fr")[0]
    wanted = run("translate", "--model", model, "--backend", "torch", source)
    monkeypatch.setattr("translator.translation.decoders.load_library", lambda: None)
    monkeypatch.setattr("translator.translation.decoders.problem", lambda: "no compiler")
    found = run("translate", "--model", model, "--precision", precision, source)
    assert (found.code, found.out, wanted.err) == (0, wanted.out, "")
    assert found.err == "PyTorch decodes, in float32: no compiler\n"


def test_a_precision_that_a_backend_does_not_have_is_refused(run: Run, model: Path) -> None:
    for backend in ("torch", "reference"):
        line = run("translate", "--model", model, "--backend", backend, "--precision", "int8", "x").refusal(2)
        assert line == "error: PyTorch computes in float32 on a CPU; leave out --precision int8"


def test_another_split(run: Run, trained: Trained, model: Path) -> None:
    found = evaluate(run, "--model", model, "--split", "val", "--output", model.parent / "val.txt")
    assert (found["test_set"], found["n_lines"]) == ("val", 10)
    written = (model.parent / "val.txt").read_text().split("\n")
    assert written == [*answers(model, trained.lines("val.fr")), ""]
    assert "split ''" in run("evaluate", "--model", model, "--split", "").refusal()
    refused = run("evaluate", "--model", model, "--split", "dev").refusal()
    assert "'dev'" in refused
    assert "train, val, test" in refused


def test_lines_that_are_split_are_counted(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.fr").write_text("Le chat dort. Où est la gare ?\nLe chat dort.\n", "utf-8")
    (tmp_path / "a.en").write_text("The cat sleeps. Where is the station?\nThe cat sleeps.\n", "utf-8")
    given = ("evaluate", "--model", model, "--source", tmp_path / "a.fr", "--reference", tmp_path / "a.en")
    assert ", 1 line split\n" in run(*given, "--split-sentences", "always").out
    assert " split\n" not in run(*given, "--split-sentences", "never").out


def test_files_of_ones_own(run: Run, trained: Trained, model: Path, tmp_path: Path) -> None:
    """The files of the test split have the same scores as the split itself."""
    corpus, output = trained.root / "corpus", tmp_path / "out.txt"
    own = ("--source", corpus / "test.fr", "--reference", corpus / "test.en")
    found = evaluate(run, "--model", model, *own, "--output", output)
    expected = evaluate(run, "--model", model, "--output", tmp_path / "test.txt")
    assert [found[name] for name in ("bleu", "chrf", "ter")] == [
        expected[name] for name in ("bleu", "chrf", "ter")
    ]
    assert output.read_bytes() == (tmp_path / "test.txt").read_bytes()

    (tmp_path / "hard.fr").write_bytes("".join(HARD).encode())
    (tmp_path / "hard.en").write_bytes(b"The cat sleeps.\n" * len(HARD))
    hard = ("--source", tmp_path / "hard.fr", "--reference", tmp_path / "hard.en")
    assert evaluate(run, "--model", model, *hard, "--output", output)["n_lines"] == len(HARD)
    assert output.read_bytes().count(b"\n") == len(HARD)


def test_several_references(run: Run, trained: Trained, model: Path, tmp_path: Path) -> None:
    """With our own translations as second reference BLEU is 100; against the first alone it is unchanged."""
    ours = tmp_path / "ours.txt"
    expected = evaluate(run, "--model", model, "--output", ours)
    assert "bleu_first_reference" not in expected
    corpus, output = trained.root / "corpus", tmp_path / "out.txt"
    files = ("--source", corpus / "test.fr", "--reference", corpus / "test.en", "--reference", ours)
    files += ("--compare", corpus / "test.en", "--output", output)
    found = evaluate(run, "--model", model, *files)
    assert (expected["n_references"], found["n_references"]) == (1, 2)
    assert found["bleu_first_reference"] == expected["bleu"]
    assert found["bleu"]["score"] == pytest.approx(100)  # type: ignore[index]
    assert found["compare"]["bleu"]["other"] == pytest.approx(100)  # type: ignore[index]
    head, *said = run("evaluate", "--model", model, *files).lines()
    scores = [line for line in said if "95 %" in line]
    assert head.startswith("test.fr: 10 lines, 2 references, beam ")
    assert [line.split()[0] for line in scores] == ["BLEU", "chrF", "TER", "BLEU"]
    assert [f"nrefs:{n}|" in line for n, line in zip((2, 2, 2, 1), scores, strict=True)] == [True] * 4

    (tmp_path / "short.en").write_text("The cat sleeps.\n" * 7)
    line = run("evaluate", "--model", model, *files, "--reference", tmp_path / "short.en").refusal()
    assert "test.fr has 10 lines" in line
    assert "short.en has 7" in line
    line = run("evaluate", "--model", model, *files[:6], "--alignments", "links").refusal(2)
    assert "--alignments needs one translation of each sentence" in line


@pytest.mark.slow
@pytest.mark.parametrize(("languages", "n_references"), [(("fr", "en"), 2), (("en", "fr"), 1)])
def test_what_people_wrote_of_the_phrasebook_has_two_references(
    run: Run, model: Path, tmp_path: Path, languages: tuple[str, str], n_references: int
) -> None:
    phrasebook = ["data.format=phrasebook", "data.root=null", "data.files={}", f"data.cache={tmp_path}"]
    phrasebook += [f"data.source_language={languages[0]}", f"data.target_language={languages[1]}"]
    for split in ("challenge", "everyday"):
        found = evaluate(run, *phrasebook, "--model", model, "--split", split, "--beam", "1")
        assert (found["n_lines"], found["n_references"]) == (300, n_references)
        assert ("bleu_first_reference" in found) == (n_references == 2)


@pytest.mark.slow
def test_robustness(run: Run, trained: Trained, model: Path) -> None:
    """Each change applies to all lines, with the scores of the changed lines given as source."""
    found = evaluate(run, "--model", model, "--robustness")
    again = evaluate(run, "--model", model, "--robustness")
    assert again["robustness"] == found["robustness"]
    sources, references = trained.lines("test.fr"), trained.lines("test.en")
    changes = found["robustness"]
    assert isinstance(changes, dict)
    assert list(changes) == list(CHANGES)
    for name, under in changes.items():
        changed = [CHANGES[name](source) for source in sources]
        assert under["n_changed"] == sum(map(ne, changed, sources))
        assert under["bleu"] == pytest.approx(bleu(answers(model, changed), references))
    assert changes["guillemets"] == {"bleu": found["bleu"]["score"], "n_changed": 0}  # type: ignore[index]
    assert changes["upper_case"]["bleu"] != found["bleu"]["score"]  # type: ignore[index]

    said = run("evaluate", "--model", model, "--robustness").lines()
    [table] = [i for i, line in enumerate(said) if line.startswith("BLEU of sources as they are")]
    rows = said[table + 1 : table + 1 + len(CHANGES)]
    assert [line.split("  ")[1].strip().replace(" ", "_") for line in rows] == list(CHANGES)
    assert rows[-1].endswith("10 of 10 lines changed")
    refused = run("evaluate", "--model", model, "--robustness", "--alignments", "links").refusal(2)
    assert "--robustness has no effect with --alignments" in refused


def test_a_system_against_itself(run: Run, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    first = evaluate(run, "--model", model, "--output", other)
    found = evaluate(run, "--model", model, "--compare", other)["compare"]
    assert isinstance(found, dict)
    assert list(found) == ["bleu", "chrf", "ter"]
    for name, test in found.items():
        score = first[name]
        assert isinstance(score, dict)
        assert test["score"] == test["other"] == pytest.approx(score["score"])
        assert test["p_value"] == 1
    said = run("evaluate", "--model", model, "--compare", other).lines()
    assert len([line for line in said if line.endswith("p = 1.0000")]) == 3


def test_a_better_system_is_told_apart(run: Run, trained: Trained, model: Path) -> None:
    reference = trained.root / "corpus" / "test.en"
    found = evaluate(run, "--model", model, "--beam", "1", "--compare", reference)["compare"]
    assert isinstance(found, dict)
    assert found["bleu"]["other"] == pytest.approx(100)
    assert found["ter"]["other"] == 0
    assert found["bleu"]["score"] < 100
    assert found["bleu"]["p_value"] < 0.05


def test_the_data_of_another_configuration(run: Run, trained: Trained, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = trained.config.read_text(encoding="utf-8")
    other.write_text(text.replace('test: "test.', 'test: "val.'), encoding="utf-8")
    found = evaluate(run, "--model", model, "--data", other, "--beam", "1")
    of_val = evaluate(run, "--model", model, "--split", "val", "--beam", "1")
    assert found["bleu"] == of_val["bleu"] != evaluate(run, "--model", model, "--beam", "1")["bleu"]
    overridden = evaluate(
        run, "--model", model, "--data", other, "--beam", "1", "data.files.test=test.{lang}"
    )
    assert overridden["bleu"] == evaluate(run, "--model", model, "--beam", "1")["bleu"]
    files = ("--source", trained.root / "corpus/test.fr", "--reference", trained.root / "corpus/test.en")
    assert "--data is for the data of a conf" in run("evaluate", *files, "--data", other).refusal(2)
    swapped = ("data.source_language=en", "data.target_language=fr")
    refused = run("evaluate", "--model", model, "--data", other, *swapped).refusal(2)
    assert f"--data {other}: the data are en → fr, and the model translates fr → en" in refused


def test_the_data_may_have_moved(run: Run, trained: Trained, model: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    for language in ("fr", "en"):
        lines = trained.lines(f"test.{language}")[:3]
        (tmp_path / "moved" / f"test.{language}").write_text("".join(f"{line}\n" for line in lines))
    assert evaluate(run, f"data.root={tmp_path}/moved", "--model", model)["n_lines"] == 3
    refused = run("evaluate", "--model", model, "data.root=/nowhere").refusal()
    assert "/nowhere/test.fr" in refused
    assert "data.root" in refused


def test_score_is_a_log_probability_a_line(run: Run, trained: Trained, tmp_path: Path) -> None:
    sources, targets = trained.lines("test.fr"), trained.lines("test.en")
    sources, targets = [*sources, "", LONG], [*targets, "", "The cat sleeps."]
    for name, lines in (("a", sources), ("b", targets)):
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    files = ("--source", tmp_path / "a", "--target", tmp_path / "b")
    done = run("score", "--model", trained.model, *files)
    assert (done.code, done.err) == (0, "")
    found = [float(line) for line in done.lines()]
    assert len(found) == len(sources)
    assert all(math.isfinite(score) and score < 0 for score in found)
    expected = Translator.load(trained.model).score(sources, targets)
    assert found == pytest.approx(expected, abs=1e-5)
    one_by_one = run("score", "--model", trained.model, *files, "--batch-size", "1")
    assert [float(line) for line in one_by_one.lines()] == pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize("verb", ["evaluate", "score"])
def test_sides_of_unequal_length_are_refused_with_both_counts(
    run: Run, trained: Trained, model: Path, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "short.en").write_text("The cat sleeps.\n" * 7)
    other = "--reference" if verb == "evaluate" else "--target"
    files = ("--source", trained.root / "corpus" / "test.fr", other, tmp_path / "short.en")
    line = run(verb, "--model", model, *files).refusal()
    assert "has 10 lines" in line
    assert "has 7" in line
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]


def test_a_comparison_of_unequal_length_is_refused_with_both_counts(
    run: Run, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "short.en").write_text("The cat sleeps.\n" * 7)
    line = run("evaluate", "--model", model, "--compare", tmp_path / "short.en").refusal()
    assert "has 7 lines" in line
    assert "has 10" in line
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]


# -- info, check-data and the configuration ------------------------------------------------------------


def test_info(run: Run, trained: Trained) -> None:
    done = run("info", trained.model, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["format_version"] == 1
    assert (facts["source_language"], facts["target_language"]) == ("fr", "en")
    assert facts["parameters"] > 10_000
    assert facts["model"]["width"] == 32
    assert facts["native"] in native_library.LEVELS or facts["native"].startswith("none: the C operations ")
    assert set(facts["scores"]["test"]["bleu"]) == {"score", "low", "high", "signature"}
    said = run("info", trained.model).lines()
    assert f"native: {facts['native']}" in said
    assert f"parameters: {facts['parameters']}" in said
    assert f"scores.test.bleu.score: {facts['scores']['test']['bleu']['score']}" in said
    assert "model.width: 32" in said


def test_check_data(run: Run, tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    corpus = tmp_path / "corpus"
    source, target = ((corpus / f"train.{language}").read_text() for language in ("fr", "en"))
    # An empty pair, a half-empty pair, a pair of the test split, and a duplicate.
    for text, name, lines in ((source, "fr", ["", "Oui."]), (target, "en", ["", ""])):
        test = (corpus / f"test.{name}").read_text().splitlines()[0]
        more = [*lines, test, text.splitlines()[0]]
        (corpus / f"train.{name}").write_text(text + "".join(f"{line}\n" for line in more))
    done = run("check-data", path, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["pairs"] == {"train": 134, "val": 10, "test": 10}
    assert facts["training_pairs"] == 130
    assert facts["report"]["n_pairs"] == 134
    assert sum(facts["report"]["left_out"].values()) == 4
    assert facts["report"]["lines"]["empty"] == [131, 132]
    assert {name.split(".")[0] for name in facts["fingerprints"]} == {"train", "val", "test"}
    assert len(facts["fingerprints"]) == 6
    said = run("check-data", path).lines()
    assert said[:4] == ["split\tpairs", "train\t134", "val\t10", "test\t10"]
    assert "130 of 134 training pairs are fit for training" in said
    assert any("(lines 131, 132)" in line for line in said)
    assert not (tmp_path / "runs").exists()


def test_check_data_says_how_well_the_vocabulary_fits(run: Run, trained: Trained, tmp_path: Path) -> None:
    facts = json.loads(run("check-data", trained.config, "--json").out)["vocabulary_fit"]
    own = f"{facts['source']['pieces_per_word']:.2f} pieces a word, 0.00% of them bytes"
    [line] = [line for line in run("check-data", trained.config).lines() if line.startswith("vocabulary:")]
    assert line.startswith(f"vocabulary: fr: {own}; en: ")
    path = write_phrases(tmp_path)
    (tmp_path / "corpus/train.fr").write_text("χαῖρε, ὦ κόσμε\n" * 130, encoding="utf-8")
    said = run("check-data", path, f"train.init_from={trained.model}").lines()
    [line] = [line for line in said if line.startswith("vocabulary:")]
    assert float(line.split()[2]) > 3 * facts["source"]["pieces_per_word"]
    assert f" (the model's own corpus: {own}); en: " in line


def spoilt_phrases(tmp_path: Path) -> Path:
    """A configuration with malformed rows: in lines 133 and 134 of `train`, in line 2 of `val` and `test`."""
    path = write_phrases(tmp_path)
    for split in ("train", "val", "test"):
        rows = list(
            zip(
                *((tmp_path / f"corpus/{split}.{side}").read_text().splitlines() for side in ("fr", "en")),
                strict=True,
            )
        )
        lines = ["fr\ten", *map("\t".join, rows)]
        if split == "train":
            lines += ["", "no tab", "one\ttoo\tmany", "Oui.\tYes."]
        else:
            lines.insert(1, "no tab")
        (tmp_path / f"corpus/{split}.tsv").write_text("".join(f"{line}\n" for line in lines))
    files = "{train: train.tsv, val: val.tsv, test: test.tsv}"
    text = path.read_text().replace("format: text", "format: tsv")
    path.write_text(re.sub("files: .*", f"files: {files}", text))
    return path


def test_check_data_reads_past_malformed_rows_of_every_split(run: Run, tmp_path: Path) -> None:
    path = spoilt_phrases(tmp_path)
    done = run("check-data", path, "--json")
    assert (done.code, done.err) == (0, "")
    facts = json.loads(done.out)
    assert facts["report"]["left_out"] == {"columns": 2}
    assert facts["report"]["lines"]["columns"] == [133, 134]
    assert (facts["report"]["n_pairs"], facts["training_pairs"]) == (133, 131)
    assert facts["pairs"] == {"train": 131, "val": 10, "test": 10}
    of_test = {"left_out": {"columns": 1}, "lines": {"columns": [2]}}
    assert facts["malformed"] == {"val": of_test, "test": of_test}
    said = run("check-data", path, "data.strict=true").lines()
    assert "  left out: malformed: too few or too many columns: 2 (lines 133, 134)" in said
    assert "  test: left out: malformed: too few or too many columns: 1 (lines 2)" in said


def test_strict_training_refuses_what_check_data_calls_unfit(run: Run, tmp_path: Path) -> None:
    path = spoilt_phrases(tmp_path)

    def refused() -> str:
        return run("train", path, "data.strict=true").refusal()

    columns = "are unfit; malformed: too few or too many columns"
    assert refused() == (
        f"error: data.strict: 2 of 133 rows of train {columns}: 2 (lines 133, 134); fix or remove them"
    )
    for split, bad in (("train", (133, 134)), ("val", (2,))):
        table = tmp_path / f"corpus/{split}.tsv"
        lines = enumerate(table.read_text().splitlines(keepends=True), start=1)
        table.write_text("".join(line for number, line in lines if number not in bad))
        after = {"train": "val", "val": "test"}[split]
        assert refused() == (
            f"error: data.strict: 1 of 11 rows of {after} {columns}: 1 (lines 2); fix or remove them"
        )
    assert not (tmp_path / "runs").exists()


def test_a_line_that_is_no_utf8_is_left_out_with_its_pair(run: Run, tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    damage_line_5(tmp_path)
    facts = json.loads(run("check-data", path, "--json").out)
    assert (facts["report"]["left_out"], facts["training_pairs"]) == ({"invalid_utf8": 1}, 129)
    assert facts["report"]["lines"]["invalid_utf8"] == [5]


def test_evaluating_notes_malformed_rows_and_keeps_the_others_in_order(
    run: Run, trained: Trained, tmp_path: Path
) -> None:
    path = spoilt_phrases(tmp_path)
    config = load_config(path)
    files = json.dumps(config.data.files)
    out = tmp_path / "out"
    changes = (
        "data.format=tsv",
        f"data.root={tmp_path}/corpus",
        f"data.files={files}",
        f"data.cache={tmp_path}/c",
    )
    done = run("evaluate", "--model", trained.model, "--output", out, "--beam", "1", *changes)
    assert (done.code, done.err) == (
        0,
        f"test: left out: malformed: too few or too many columns: 1 (lines 2)\ntranslations: {out}\n",
    )
    translator = Translator.load(trained.model)
    sources = trained.lines("test.fr")
    assert out.read_text().splitlines() == [
        answer.text for answer in translator.translate(sources, beam_size=1)
    ]
    line = run("evaluate", "--model", trained.model, *changes, "data.strict=true").refusal()
    assert line.startswith("error: data.strict: 1 of 11 rows of test are unfit; malformed: too few")


@pytest.mark.parametrize(
    ("verb", "function"),
    [
        ("train", "translator.training.run.train"),
        ("check-data", "translator.data.preparation.prepare"),
    ],
)
def test_an_end_of_memory_is_one_line_that_says_what_to_lower(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, function: str
) -> None:
    path = write_phrases(tmp_path)

    def failing(error: Exception) -> Callable[..., None]:
        def fail(*_: object, **__: object) -> None:
            raise error

        return fail

    of_torch = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
    for error in (MemoryError(), RuntimeError(of_torch)):
        monkeypatch.setattr(function, failing(error))
        assert "there is not enough memory; lower" in run(verb, path).refusal()
    monkeypatch.setattr(function, failing(RuntimeError("something else")))
    with pytest.raises(RuntimeError, match="something else"):
        main([verb, str(path)])


def test_print_config_is_read_back_as_it_was(run: Run, tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    overrides = ("train.seed=7", "run.name=à côté", "model.norm=post")
    done = run("train", overrides[0], "--print-config", path, *overrides[1:])
    assert (done.code, done.err) == (0, "")
    printed = tmp_path / "printed.yaml"
    printed.write_text(done.out, encoding="utf-8")
    config = load_config(printed)
    assert config == load_config(path, overrides)
    assert (config.train.seed, config.run.name) == (7, "à côté")
    assert not (tmp_path / "runs").exists()


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("translator 0.")
    assert "torch 2" in done.out


def test_help_names_every_verb(run: Run) -> None:
    done = run("--help")
    assert (done.code, done.err) == (0, "")
    listed = [line.split()[0] for line in done.lines() if line.startswith("  ") and line.strip()]
    assert [verb for verb in VERBS if verb not in listed] == []
    for verb in VERBS:
        helped = run(verb, "--help")
        assert (helped.code, helped.err) == (0, "")
        assert helped.out.splitlines()[0].split()[:1] == ["Usage:"]


def test_help_is_quick_to_come() -> None:
    """`--help` imports no slow modules; the control `info` does."""
    code = """
import sys
from translator.cli import COMMANDS, main
from translator.cli.options import PREPARING
try:
    main(["--help"])
finally:
    print({"torch", "datasets", "lightning"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"set()\n")
    assert b"Usage:" in done.stdout


# -- errors --------------------------------------------------------------------------------------------

USAGE_ERRORS = {
    "no configuration": ("train", "train.seed=1"),
    "no argument": ("train",),
    "two configurations": ("train", "CONFIG", "CONFIG"),
    "unknown option": ("train", "CONFIG", "--fast"),
    "unknown verb": ("learn", "CONFIG"),
    "two corpora": ("check-data", "CONFIG", "CONFIG"),
    "no beam": ("translate", "--beam", "0", "Bonjour."),
    "a beam that is no number": ("translate", "--beam", "wide", "Bonjour."),
    "no translations": ("translate", "--n-best", "0", "Bonjour."),
    "no batch": ("translate", "--batch-size", "0", "Bonjour."),
    "no such device": ("translate", "--model", "MODEL", "--device", "abacus", "Bonjour."),
    "a source alone": ("evaluate", "--source", "CONFIG"),
    "a reference alone": ("evaluate", "--reference", "CONFIG"),
    "two test sets": ("evaluate", "--split", "val", "--source", "CONFIG", "--reference", "CONFIG"),
    "a target alone": ("score", "--target", "CONFIG"),
}


@pytest.mark.parametrize("arguments", USAGE_ERRORS.values(), ids=USAGE_ERRORS.keys())
def test_usage_errors_are_one_line_and_exit_code_2(
    run: Run, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {"CONFIG": str(trained.config), "MODEL": str(trained.model)}
    line = run(*(paths.get(argument, argument) for argument in arguments)).refusal(2)
    assert len(line) > len("error: ")
    assert not (tmp_path / "runs").exists()


def change(path: Path, before: bytes, after: bytes) -> None:
    content = path.read_bytes()
    assert content.count(before) >= 1
    path.write_bytes(content.replace(before, after, 1))


def save_as_windows_1252(root: Path) -> None:
    path = root / "corpus" / "train.fr"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))


def damage_line_5(root: Path) -> None:
    lines = (root / "corpus" / "train.fr").read_bytes().split(b"\n")
    lines[4] = b"caf\xe9"
    (root / "corpus" / "train.fr").write_bytes(b"\n".join(lines))


#: What is wrong → how to bring it about, overrides, and what the line says.
REFUSED_DATA: dict[str, tuple[Callable[[Path], object], tuple[str, ...], tuple[str, ...]]] = {
    "unknown key": (
        lambda root: change(root / "phrases.yaml", b"max_steps", b"max_step"),
        (),
        ("phrases.yaml:18: ", "'train.max_step'", "did you mean 'max_steps'?"),
    ),
    "unknown key in an override": (
        lambda root: None,
        ("train.sede=1",),
        ("override train.sede=1", "did you mean 'seed'?"),
    ),
    "wrong value": (
        lambda root: change(root / "phrases.yaml", b"width: 32", b"width: wide"),
        (),
        ("phrases.yaml:10: ", "model.width", "a whole number"),
    ),
    "no YAML": (
        lambda root: change(root / "phrases.yaml", b"run: {", b"run: {{"),
        (),
        ("phrases.yaml:",),
    ),
    "no such configuration": (
        lambda root: (root / "phrases.yaml").unlink(),
        (),
        ("phrases.yaml: there is no such file",),
    ),
    "no such corpus": (
        lambda root: (root / "corpus" / "train.en").unlink(),
        (),
        ("corpus/train.en: no such file", "data.root"),
    ),
    "no such validation split": (
        lambda root: (root / "corpus" / "val.fr").unlink(),
        (),
        ("corpus/val.fr: no such file",),
    ),
    "no UTF-8": (
        save_as_windows_1252,
        (),
        ("corpus/train.fr: ", "of 130 lines are not valid UTF-8", "it looks like cp1252"),
    ),
    "unequal counts": (
        lambda root: change(root / "corpus" / "train.en", b".\n", b". "),
        (),
        ("train.fr has 130 lines", "train.en has 129"),
    ),
    "unequal counts of the test split": (
        lambda root: change(root / "corpus" / "test.en", b".\n", b". "),
        (),
        ("test.fr has 10 lines", "test.en has 9"),
    ),
    "an empty corpus": (
        lambda root: [(root / "corpus" / f"train.{language}").write_bytes(b"") for language in ("fr", "en")],
        (),
        ("corpus/train.fr is empty; name a file that has pairs in data.files.train",),
    ),
    "nothing fit for training": (
        lambda root: (root / "corpus" / "train.en").write_bytes(b"\n" * 130),
        (),
        ("none of the 130 training pairs is fit for training", "empty"),
    ),
    "pairs longer than the model": (
        lambda root: None,
        ("model.max_length=2",),
        ("model.max_length=2",),
    ),
    "a broken archive": (
        lambda root: (root / "corpus" / "train.fr").write_bytes(b"\x1f\x8b\x08broken"),
        (),
        ("train.fr:1: damaged gzip file",),
    ),
    "nobody at the address": (
        lambda root: None,
        ("data.root=http://127.0.0.1:9/",),
        ("http://127.0.0.1:9/", "cannot be fetched", "data.root=FOLDER"),
    ),
    "a cache that is a file": (
        lambda root: (root / "cache").write_text(""),
        (),
        ("cache", "cannot be made"),
    ),
}


@pytest.fixture
def without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def half_written(root: Path) -> list[Path]:
    """Return the partial files that an interrupted command would leave in a folder; locks are empty."""
    patterns = ("partial-*", "*incomplete*", ".*-????????", "tmp*", "model", "*.ckpt")
    return [path for pattern in patterns for path in root.rglob(pattern) if path.suffix != ".lock"]


@pytest.mark.usefixtures("without_proxy")
@pytest.mark.parametrize("verb", ["train", "check-data"])
@pytest.mark.parametrize("wrong", REFUSED_DATA)
def test_refused_data_and_configurations(run: Run, tmp_path: Path, wrong: str, verb: str) -> None:
    root = tmp_path / "work"
    path = write_phrases(root)
    bring_about, overrides, said = REFUSED_DATA[wrong]
    bring_about(root)
    line = run(verb, path, *overrides).refusal()
    assert [part for part in said if part not in line] == [], line
    assert half_written(root) == []
    assert not (root / "runs").exists()


@pytest.mark.parametrize("number", [100, 1234])
def test_a_line_number_is_a_number(run: Run, tmp_path: Path, number: int) -> None:
    """Rich would replace `:100:` by an emoji."""
    path = tmp_path / "c.yaml"
    path.write_text("train: {max_steps: 5}" + "\n" * (number - 1) + "modle: {}\n")
    assert f"c.yaml:{number}: unknown key" in run("check-data", path).refusal()


def test_what_was_mended_is_read_anew(run: Run, tmp_path: Path) -> None:
    """A refused corpus leaves no cache behind that would hide its corrected version."""
    path = write_phrases(tmp_path)
    whole = (tmp_path / "corpus" / "train.fr").read_bytes()
    save_as_windows_1252(tmp_path)
    run("check-data", path).refusal()
    (tmp_path / "corpus" / "train.fr").write_bytes(whole)
    assert json.loads(run("check-data", path, "--json").out)["training_pairs"] == 130


REFUSED_RUNS = {
    "a file in the place of runs": (("run.root={root}/file",), "/file"),
    "nothing to resume": (("--resume",), "nothing to resume"),
    "no such hardware": (("hardware.accelerator=cuda", "hardware.devices=64"), "hardware: "),
}


@pytest.mark.parametrize("wrong", REFUSED_RUNS)
def test_refused_runs(run: Run, tmp_path: Path, wrong: str) -> None:
    root = tmp_path / "work"
    path = write_phrases(root)
    (root / "file").write_text("kept")
    overrides, said = REFUSED_RUNS[wrong]
    line = run("train", path, *(override.format(root=root) for override in overrides)).refusal()
    assert said in line
    assert half_written(root) == []
    assert not (root / "runs").exists()
    assert (root / "file").read_text() == "kept"


def flip_a_byte(model: Path) -> None:
    content = bytearray((model / WEIGHTS).read_bytes())
    content[len(content) // 2] ^= 1
    (model / WEIGHTS).write_bytes(content)


#: What is wrong → how to bring it about, and what the line says.
REFUSED_MODELS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte": (flip_a_byte, f"{WEIGHTS}: damaged"),
    "cut-off weights": (lambda model: os.truncate(model / WEIGHTS, 1000), f"{WEIGHTS}: damaged"),
    "no weights": (lambda model: (model / WEIGHTS).unlink(), f"{WEIGHTS}: missing"),
    "another tokenizer": (
        lambda model: (model / "tokenizer.model").write_bytes(b"x"),
        "tokenizer.model: dam",
    ),
    "another configuration": (
        lambda model: change(model / "config.json", b"32", b"64"),
        "config.json: damaged",
    ),
    "no manifest": (lambda model: (model / MANIFEST).unlink(), f"it has no {MANIFEST}"),
    "half a manifest": (lambda model: os.truncate(model / MANIFEST, 100), f"{MANIFEST}: damaged"),
    "a later format": (
        lambda model: change(model / MANIFEST, b'"format_version": 1', b'"format_version": 9'),
        "format version 9",
    ),
    "no folder": (shutil.rmtree, "not a model folder"),
}


@pytest.mark.parametrize("wrong", REFUSED_MODELS)
def test_refused_model_folders(run: Run, model: Path, tmp_path: Path, wrong: str) -> None:
    bring_about, said = REFUSED_MODELS[wrong]
    bring_about(model)
    (tmp_path / "a").write_text("Bonjour.\n")
    for arguments in (
        ("translate", "--model", model, "Bonjour."),
        ("evaluate", "--model", model),
        ("score", "--model", model, "--source", tmp_path / "a", "--target", tmp_path / "a"),
        ("export", model.parent / "out", "--model", model),
        ("info", model),
    ):
        assert said in run(*arguments).refusal()
    assert list(model.parent.glob("*.txt")) == []


def test_a_run_is_as_good_as_its_model_folder(run: Run, trained: Trained, model: Path) -> None:
    text = "Le chat dort à Lyon."
    done = run("translate", "--model", model.parent, text)
    assert (done.code, done.err) == (0, f"model: {model}\n")
    assert done.lines() == answers(model, [text])
    assert run("info", model.parent).out == run("info", model).out
    (model / MANIFEST).unlink()
    assert f"{model.parent}: not a model folder: it has no" in run("info", model.parent).refusal()


def test_what_is_no_model_folder_is_named(run: Run, trained: Trained, tmp_path: Path) -> None:
    file = trained.model / MANIFEST
    for path, why in ((file, "it is a file"), (tmp_path / "nowhere", "it does not exist")):
        line = run("translate", "--model", path, "Oui.").refusal()
        assert line.startswith(f"error: {path}: not a model folder: {why}; give the `model` folder")


@pytest.mark.parametrize("digits", [20, 1000, 5000])
@pytest.mark.parametrize(
    "option",
    ["translate --beam", "translate --n-best", "score --batch-size", "align --layer", "serve --port"],
)
def test_numbers_without_end_are_one_short_line(run: Run, trained: Trained, option: str, digits: int) -> None:
    verb, name = option.split()
    files = ("--source", trained.config, "--target", trained.config) if verb in ("score", "align") else ()
    line = run(verb, "--model", trained.model, *files, name, "9" * digits).refusal(2)
    assert name in line
    assert len(line) < 200


def test_a_folder_or_no_file_to_read_from(run: Run, trained: Trained, tmp_path: Path) -> None:
    lines = trained.root / "corpus" / "test.fr"
    for wrong, why in ((tmp_path, "this is a folder"), (tmp_path / "nowhere", "there is no such file")):
        for arguments in (
            ("evaluate", "--source", wrong, "--reference", lines),
            ("evaluate", "--source", lines, "--reference", wrong),
            ("evaluate", "--source", lines, "--reference", lines, "--compare", wrong),
            ("score", "--source", wrong, "--target", lines),
            ("align", "--source", lines, "--target", wrong),
        ):
            line = run(*arguments, "--model", trained.model).refusal()
            assert line.startswith(f"error: {wrong}: {why}")
            assert "data.root" not in line


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "where", ["translator.translation.inference.batched_search", "safetensors.numpy.load"]
)
def test_too_little_memory_is_one_line(
    run: Run, trained: Trained, monkeypatch: pytest.MonkeyPatch, error: Exception, where: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(where, fail)
    for verb in (("translate", "Le chat dort."), ("evaluate",)):
        line = run(*verb, "--model", trained.model).refusal()
        assert "not enough memory; lower --batch-size or --beam" in line


def test_control_a_fault_of_ours_shows_where_it_is(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("translator.translation.inference.batched_search", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        main(["translate", "--model", str(trained.model), "Le chat dort."])


def test_a_place_for_translations_that_is_not_there(run: Run, model: Path, tmp_path: Path) -> None:
    line = run("evaluate", "--model", model, "--output", tmp_path / "nowhere" / "out.txt").refusal()
    assert str(tmp_path / "nowhere") in line
    assert not (tmp_path / "nowhere").exists()


# -- real pipes to real processes ----------------------------------------------------------------------


@contextmanager
def started(*arguments: str | Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command as a separate process with unbuffered pipes; it is killed at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(*arguments), bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, env=environment(**variables)
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    """Send one line and wait for one."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(line)
    ready, _, _ = select.select([process.stdout], [], [], 60)
    assert ready, "no answer before the next line is sent"
    return process.stdout.readline()


@pytest.mark.slow
def test_a_lone_line_is_answered_at_once_and_in_utf8_whatever_the_locale(trained: Trained) -> None:
    locale = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    texts = ["Ma sœur chante à Lyon.", "", "🐈 « L’enfant »", "La reine dort."]
    with started("translate", "--model", trained.model, "--jsonl", **locale) as process:
        for number, text in enumerate(texts, start=1):
            answer = ask(process, f"{text}\n".encode())
            assert answer.endswith(b"\n")
            record = json.loads(answer.decode("utf-8"))
            assert (record["line"], record["source"]) == (number, text)
            assert text.encode() in answer, "characters are written as they are, not escaped"
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_accident(trained: Trained, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("Le chat dort à Lyon.\n" * 4000, encoding="utf-8")
    with (
        lines.open("rb") as stdin,
        subprocess.Popen(
            command("translate", "--model", trained.model, "--batch-size", "1", "--beam", "1"),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().endswith(b"\n")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141
