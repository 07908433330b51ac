"""Every way in maps its sources, and no way maps a target; a model from before the map does neither."""

import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from phrases import Trained
from starlette.testclient import TestClient

from translator.cli import main, stream
from translator.data.input_map import map_input
from translator.errors import ModelError, UsageError
from translator.explain import explain
from translator.model_folder import CONFIG, load_model_folder, write_manifest
from translator.serve.access import Access
from translator.serve.app import make_app
from translator.serve.limits import Limits
from translator.serve.metrics import Metrics
from translator.serve.service import Service
from translator.translation.aligner import Aligner
from translator.translation.inference import Translator
from translator.translation.joining import Translation

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

#: The same line as people and programs write it.
FORMS: dict[str, Callable[[str], str]] = {
    "apostrophes": lambda line: line.replace("'", "’"),
    "no-break spaces": lambda line: line.replace(" ", "\u00a0", 2).replace(" ", "\u202f", 1),
    "NFD": lambda line: unicodedata.normalize("NFD", line),
    "BOM": lambda line: f"\ufeff{line}",
    "tabs": lambda line: "\t" + line.replace(" ", " \t") + "\t",
    "invisible": "\u200b\u00ad".join,
}


def of_no_source(found: list[Translation]) -> list[Translation]:
    return [replace(translation, source="") for translation in found]


BLANK = Translation("", "", 0.0, (), 0)


class Output(NamedTuple):
    code: int | str | None
    out: str
    err: str


def run(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> Output:
    capfd.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return Output(stopped.value.code, *capfd.readouterr())


def without_map(translator: Translator) -> Translator:
    """The same model, as if it were from before there was a map."""
    data = translator.config.data.model_copy(update={"input_map": None})
    config = translator.config.model_copy(update={"data": data})
    return Translator(translator.model, translator.tokenizer, config)


@pytest.fixture(scope="module")
def model(trained: Trained) -> Translator:
    return Translator.load(trained.model)


@pytest.fixture
def plain(trained: Trained) -> list[str]:
    """Lines that the map leaves alone; some have an apostrophe, most an accent."""
    lines = [map_input(line) for line in [*trained.lines("test.fr"), *trained.lines("val.fr")]]
    lines.append("L'enfant dort au marché.")
    lines.append("La reine attend dans la maison. " * 6 + "L'enfant dort à Lyon.")  # longer than the model
    return lines


@pytest.fixture
def english(trained: Trained) -> list[str]:
    return [*trained.lines("test.en"), *trained.lines("val.en"), "The child sleeps.", "The queen is waiting."]


@pytest.fixture(params=FORMS)
def typed(request: pytest.FixtureRequest, plain: list[str]) -> list[str]:
    """The plain lines in another form."""
    lines = [FORMS[request.param](line) for line in plain]
    assert lines != plain
    return lines


@pytest.mark.slow
def test_translations_scores_and_links_are_those_of_the_plain_lines(
    model: Translator, plain: list[str], typed: list[str], english: list[str]
) -> None:
    found = model.translate(typed, n_best=2)
    assert of_no_source(found) == of_no_source(model.translate(plain, n_best=2))
    assert model.score(typed, english) == model.score(plain, english)
    assert Aligner(model).align(typed, english) == Aligner(model).align(plain, english)
    data = model.config.data.model_copy(update={"source_language": "en", "target_language": "fr"})
    back = Translator(model.model, model.tokenizer, model.config.model_copy(update={"data": data}))
    both_ways = Aligner(model, reverse=back)
    assert both_ways.align(typed, english) == both_ways.align(plain, english)
    without = without_map(model)  # the control
    assert without.score(typed, english) != without.score(plain, english)


def test_explanations_are_those_of_the_plain_line(
    model: Translator, plain: list[str], typed: list[str]
) -> None:
    for source, line in zip(plain[:3], typed[:3], strict=True):
        ours, theirs = explain(model, line), explain(model, source)
        same = ("source", "translation", "log_prob", "source_words", "source_owners", "links", "nodes")
        assert [getattr(ours, name) for name in same] == [getattr(theirs, name) for name in same]
        assert ours.source == source


@pytest.mark.slow
def test_the_command_line_translates_scores_evaluates_and_aligns_alike(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    trained: Trained,
    tmp_path: Path,
    plain: list[str],
    typed: list[str],
    english: list[str],
) -> None:
    target, own = tmp_path / "a.en", ("--model", trained.model)
    target.write_text("".join(f"{line}\n" for line in english), encoding="utf-8")
    said = []
    for lines in (plain, typed):
        source = tmp_path / "a.fr"
        source.write_bytes("".join(f"{line}\n" for line in lines).encode())
        pair = ("--source", source, "--target", target)
        piped = io.BytesIO(source.read_bytes())
        monkeypatch.setattr(stream, "standard_input", lambda piped=piped: piped)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        hypotheses = tmp_path / "hypotheses"
        done = [
            run(capfd, "translate", *own, *lines),
            run(capfd, "translate", *own),
            run(capfd, "score", *own, *pair),
            run(capfd, "align", *own, *pair),
            run(capfd, "evaluate", *own, "--source", source, "--reference", target, "--output", hypotheses),
        ]
        notes = [*[""] * 4, f"translations: {hypotheses}\n"]
        assert [(one.code, one.err) for one in done] == [(0, note) for note in notes]
        scores = done.pop().out.splitlines()[1:4]
        said.append([*(one.out for one in done), scores, hypotheses.read_bytes()])
    assert said[0] == said[1]
    assert said[0][0] == said[0][1]
    assert said[0][0].count("\n") == len(plain)


def test_the_service_answers_alike(model: Translator, plain: list[str], typed: list[str]) -> None:
    service = Service(model, limits=Limits(), metrics=Metrics())
    asked = {"source": "fr", "target": "en"}
    with TestClient(make_app(service, Access()), base_url="http://localhost") as client:
        answers = [client.post("/translate", json={"q": lines, **asked}) for lines in (plain, typed)]
        assert answers[0].json() == answers[1].json()
        assert answers[0].status_code == 200
        words = [
            client.post("/api/translate", json={"text": "\n".join(lines[:3])}) for lines in (plain, typed)
        ]
        assert words[0].json() == words[1].json()
        assert "".join(piece for piece, _ in words[1].json()["source"]) == "\n".join(plain[:3])
        assert len(words[1].json()["links"]) > 3


@pytest.mark.parametrize("form", ["apostrophes", "NFD", "BOM", "invisible"])
def test_words_of_tokenized_text_stay_as_many(model: Translator, form: str) -> None:
    source, target = "L' enfant ne mange pas à 12\u00a0h .", "The child does not eat in Lyon ."
    plain = Aligner(model).align(
        [source.replace("\u00a0", " ").replace(" h", "\u00a0h")], [target], tokenized=True
    )
    words = " ".join(map(FORMS[form], source.split(" ")))
    assert Aligner(model).align([words], [target], tokenized=True) == plain
    assert Aligner(model).n_words([words], [target], tokenized=True) == [(8, 8)]


def test_a_word_that_vanishes_is_still_a_word(model: Translator) -> None:
    aligner, target = Aligner(model), "The cat sleeps in Lyon ."
    plain, hidden = "Le chat dort à Lyon .", "Le \u200b chat dort à \ufeff Lyon . \u00ad"
    [found], [links] = (aligner.align([source], [target], tokenized=True) for source in (hidden, plain))
    assert found == [((0, 2, 3, 4, 6, 7)[i], j) for i, j in links]
    assert aligner.n_words([hidden], [target], tokenized=True) == [(9, 6)]
    assert aligner.align(["\u200b \ufeff", "\u200b"], [target, target], tokenized=True) == [[], []]
    assert aligner.align(["\u200b"], [target]) == [[]]


def test_words_that_a_reverse_model_reads_are_counted_as_they_stand(model: Translator) -> None:
    data = model.config.data.model_copy(update={"source_language": "en", "target_language": "fr"})
    back = Translator(model.model, model.tokenizer, model.config.model_copy(update={"data": data}))
    target = "\ufeffThe cat sle\u200beps."
    [(_, n_target)] = Aligner(model).n_words(["Le chat dort."], [target])
    [links] = Aligner(model, reverse=back).align(["Le chat dort."], [target])
    assert n_target == 7
    assert max(j for _, j in links) == n_target - 1


def test_targets_are_read_as_they_are(model: Translator, plain: list[str], english: list[str]) -> None:
    others = [FORMS["BOM"](line) for line in english]
    assert model.score(plain, others) != model.score(plain, english)
    assert model.translate(plain[:1], prefix="The ’")[0].text.startswith("The ’")


def test_what_is_blank_after_the_map_is_blank(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, trained: Trained, model: Translator
) -> None:
    blank = ["\u200b", "", "\ufeff\u00ad", " \u00a0\u2060\t"]
    assert of_no_source(model.translate([*blank, "Oui.", "\u200b"])[::5]) == [BLANK] * 2
    assert of_no_source(model.translate(blank)) == [BLANK] * 4
    own = ("--model", trained.model)
    assert run(capfd, "translate", *own, "\u200b\u200d") == (0, "\n", "")
    monkeypatch.setattr(
        stream, "standard_input", lambda: io.BytesIO("\u200b\nLe chat dort.\n\ufeff\n".encode())
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    done = run(capfd, "translate", *own)
    assert [bool(line) for line in done.out.split("\n")] == [False, True, False, False]
    with pytest.raises(UsageError, match="the text is blank"):
        explain(model, "\u200b")
    assert of_no_source(without_map(model).translate(["\u200b"])) != [BLANK]  # the control


@pytest.fixture
def older(trained: Trained, tmp_path: Path) -> Path:
    """A model folder as it was before there was a map."""
    folder = tmp_path / "older"
    shutil.copytree(trained.model, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    assert config["data"].pop("input_map") == 1
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    write_manifest(folder, {})
    return folder


def test_an_older_folder_maps_nothing(older: Path, model: Translator, plain: list[str]) -> None:
    before = Translator.load(older)
    typed = [FORMS["apostrophes"](f" {line}") for line in plain[:-1]]
    unmapped = [ids for _, ids in before.cut(typed)]
    assert unmapped == model.tokenizer.encode_batch([line.strip() for line in typed])
    assert unmapped != [ids for _, ids in model.cut(typed)]
    english = ["The cat."] * len(typed)
    encode = model.tokenizer.encode_batch
    assert before.score(typed, english) == model.score_ids(encode(typed), encode(english))
    assert before.translate(typed) == without_map(model).translate(typed)
    tokenized = Aligner(before).n_words(["a \u200b b"], ["a"], tokenized=True)
    assert tokenized == [(3, 1)]


def test_a_map_of_another_version_is_refused(older: Path) -> None:
    config = json.loads((older / CONFIG).read_text(encoding="utf-8"))
    config["data"]["input_map"] = 2
    (older / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    write_manifest(older, {})
    with pytest.raises(ModelError) as caught:
        load_model_folder(older)
    assert str(caught.value) == (
        f"{older / CONFIG}: data.input_map=2 does not fit; allowed: 1 or null "
        "(if a newer version wrote the folder, update)"
    )
