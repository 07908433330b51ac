"""The film of a training: its moments, its translations, and that the training does not notice it."""

import json
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from phrases import Trained

from translator.config import Config
from translator.data.batching import Batch
from translator.engine import native_library
from translator.explain import explain
from translator.files import atomic_write
from translator.model_folder import WEIGHTS, load_model_folder
from translator.training.checkpoint import BEST, read_checkpoint
from translator.training.film import RecordFilm, choose_sentences, is_moment
from translator.training.module import TranslationModule
from translator.training.run import train
from translator.translation.film import FILM, N_MORE_PIECES, new_film, read_film, translations
from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

MakeConfig = Callable[..., Config]

#: Everything that a film could disturb: dropout, accumulation, averaging, a validation.
OPTIONS = (
    "data.files={train: 'train.{lang}', val: 'val.{lang}'}",
    "model.dropout=0.2",
    "train.accumulate=2",
    "train.ema_decay=0.9",
    "train.max_steps=12",
    "validation.every_steps=12",
    "validation.n_samples=0",
)
STEPS = [0, 1, 2, 3, 5, 7, 10, 12]


@pytest.fixture(autouse=True)
def _no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes longer than training here."""
    monkeypatch.setattr("translator.training.finalize.plot_curves", lambda *_, **__: True)


def film_of(folder: Path) -> dict[str, Any]:
    film = read_film(folder / FILM)
    assert film is not None
    return film


def steps_of(folder: Path) -> list[int]:
    return [moment["step"] for moment in film_of(folder)["moments"]]


def run(config: Config, name: str, *, resume: bool = False) -> tuple[Path, bytes]:
    """Train; return the run's folder and the weights of its model."""
    model = train(config, name=name, resume=resume)
    assert model is not None
    return model.parent, (model / WEIGHTS).read_bytes()


def stop_after(step: int, config: Config, monkeypatch: pytest.MonkeyPatch, *, name: str) -> Path:
    """Train until Ctrl-C is pressed during a step; return the run's folder."""
    record_step = TranslationModule.record_step

    def press(module: TranslationModule, batch: Batch) -> None:
        record_step(module, batch)
        if module.progress.steps == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TranslationModule, "record_step", press)
        with pytest.raises(KeyboardInterrupt):
            train(config, name=name)
    return Path(config.run.root) / name


# -- moments and sentences -----------------------------------------------------------------------------


def test_there_are_six_moments_in_each_tenfold_increase() -> None:
    expected = [0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000]
    assert [step for step in range(1001) if is_moment(step)] == expected
    assert sum(map(is_moment, range(1800))) == 20  # as long as `make train`
    assert [step for step in range(100_000, 999_999, 10_000) if is_moment(step)] == [
        step * 10_000 for step in (10, 15, 20, 30, 50, 70)
    ]


def test_the_first_three_sentences_that_are_neither_short_nor_long() -> None:
    fitting = [f"Le {word} est grand." for word in ("chat", "chien", "pont", "train")]
    long = "Le chat " + "très " * 10 + "grand."
    assert choose_sentences(["Oui.", fitting[0], "", fitting[0], long, *fitting[1:]]) == fitting[:3]
    assert choose_sentences(["Oui.", fitting[0]]) == fitting[:1]
    assert choose_sentences([long, "Oui."]) == []


# -- what a moment shows -------------------------------------------------------------------------------


def test_a_moment_shows_what_the_model_translates_and_attends_to(trained: Trained) -> None:
    translator = Translator.load(trained.model)
    sources = ["Ma sœur ne mange pas dans la maison.", "Le chat dort."]  # the second one is padded
    film = new_film(translator.tokenizer, sources)
    for sentence, shown in zip(film["sentences"], translations(translator, sources), strict=True):
        expected = explain(translator, sentence["source"], beam_size=1)
        assert sentence["pieces"] == expected.source_pieces
        assert (shown["text"], shown["pieces"]) == (expected.translation, expected.target_pieces)
        torch.testing.assert_close(torch.tensor(shown["cross"]), expected.cross.average, rtol=0, atol=6e-4)


def test_repetitions_are_cut(trained: Trained) -> None:
    translator = Translator.load(trained.model, backend="torch")
    with torch.no_grad():
        weights = translator.model.state_dict()  # shares memory with the model
        weights["decoder.norm.weight"].zero_()
        weights["decoder.norm.bias"].copy_(weights["embedding.weight"][50])
    [shown] = translations(translator, ["Le chat dort."])
    assert len(set(shown["pieces"])) == 2
    assert len(shown["pieces"]) == len(translator.tokenizer.encode("Le chat dort.")) + N_MORE_PIECES


# -- a training with a film ----------------------------------------------------------------------------


def test_a_training_is_the_same_with_and_without_a_film(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*OPTIONS)
    record = RecordFilm._record

    def compare(callback: RecordFilm, module: TranslationModule) -> None:
        def state() -> tuple[object, ...]:
            modes = [part.training for part in module.modules()]
            return torch.get_rng_state().tolist(), random.getstate(), torch.get_num_threads(), modes

        before = state()
        record(callback, module)
        assert state() == before

    monkeypatch.setattr(RecordFilm, "_record", compare)
    folder, weights = run(config, "with")
    assert steps_of(folder) == STEPS
    film = film_of(folder)
    assert len({json.dumps(moment["translations"]) for moment in film["moments"]}) > 3, "it learns"
    assert [sentence["source"] for sentence in film["sentences"]] == [
        "Le chat court vers la gare.",
        "Où est mon chapeau ?",
        "Ma sœur chante dehors.",
    ]
    loaded = load_model_folder(folder / "model")
    best = read_checkpoint(folder / "checkpoints" / BEST)
    loaded.model.load_state_dict(
        {name.removeprefix("model."): value for name, value in best["current_model_state"].items()}
    )
    in_training = Translator(loaded.model, loaded.tokenizer, config)
    texts = [sentence["source"] for sentence in film["sentences"]]
    assert translations(in_training, texts) == film["moments"][-1]["translations"], "not of the average"

    monkeypatch.setattr(RecordFilm, "_record", lambda *_: None)
    without, same = run(config, "without")
    assert not (without / FILM).exists()
    assert weights == same


@pytest.mark.slow
def test_a_resumed_training_continues_the_film(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(*OPTIONS)
    expected, weights = run(config, "whole")
    for stop in (5, 6):  # after a moment, and between two
        folder = stop_after(stop, config, monkeypatch, name=f"stopped-at-{stop}")
        film = film_of(folder)
        assert [moment["step"] for moment in film["moments"]] == [0, 1, 2, 3, 5][: stop - 1]
        # What a training leaves that was killed after the checkpoint from which it is resumed.
        later = [{**film["moments"][-1], "step": step} for step in (6, 7, 10)]
        (folder / FILM).write_text(json.dumps({**film, "moments": [*film["moments"], *later]}))
        assert run(config, folder.name, resume=True) == (folder, weights)
        assert film_of(folder) == film_of(expected)


@pytest.mark.slow
@pytest.mark.parametrize("content", [None, "of another"])
def test_a_lost_or_damaged_film_starts_again(
    tiny_config: MakeConfig,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
) -> None:
    config = tiny_config(*OPTIONS)
    folder = stop_after(5, config, monkeypatch, name="tiny")
    if content == "of another":
        film = film_of(folder)
        content = json.dumps({**film, "sentences": film["sentences"][::-1], "moments": []})
    (folder / FILM).unlink()
    if content is not None:
        (folder / FILM).write_text(content)
    run(config, "tiny", resume=True)
    assert steps_of(folder) == [5, 7, 10, 12]
    note = f"{folder / FILM}: absent or damaged; the film of this training starts at step 5"
    assert note in capsys.readouterr().err.splitlines()


@pytest.mark.slow
def test_a_film_that_cannot_be_written_ends_with_one_note(
    tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        if b'"step":3' in content:
            raise OSError(28, "No space left on device")
        atomic_write(path, content)

    monkeypatch.setattr("translator.training.film.atomic_write", refuse)
    folder, _ = run(tiny_config(*OPTIONS), "tiny")
    assert steps_of(folder) == [0, 1, 2]
    [note] = [line for line in capsys.readouterr().err.splitlines() if FILM in line]
    assert note.endswith("the film of this training ends at step 3: [Errno 28] No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("hardware.backend=native", "hardware.replicas=2"),
        ("hardware.backend=torch", "hardware.precision=bf16-mixed"),
        ("hardware.backend=reference", "hardware.precision=64-true", "train.freeze=[embeddings]"),
    ],
)
def test_every_way_of_training_has_a_film(tiny_config: MakeConfig, overrides: tuple[str, ...]) -> None:
    if "hardware.backend=native" in overrides and native_library.level() is None:
        pytest.skip("there are no C operations")
    folder, _ = run(tiny_config(*OPTIONS, *overrides), "tiny")
    assert steps_of(folder) == STEPS


@pytest.mark.slow
def test_without_sentences_that_fit_there_is_no_film(tiny_config: MakeConfig, tiny_corpus: Path) -> None:
    for language in ("fr", "en"):
        (tiny_corpus / f"val.{language}").write_text("Oui.\n")
    folder, _ = run(tiny_config(*OPTIONS), "tiny")
    assert not (folder / FILM).exists()


# -- reading -------------------------------------------------------------------------------------------

SENTENCE = {"source": "a b", "pieces": ["a", "b"]}
SHOWN = {"text": "c", "pieces": ["c"], "cross": [[0.5, 0.5]]}
WHOLE = {
    "format_version": 1,
    "sentences": [SENTENCE],
    "moments": [{"step": 1, "translations": [SHOWN]}],
}


def test_a_whole_film_is_read(tmp_path: Path) -> None:
    (tmp_path / FILM).write_text(json.dumps(WHOLE))
    assert read_film(tmp_path / FILM) == WHOLE


@pytest.mark.parametrize(
    "damaged",
    [
        {**WHOLE, "format_version": 2},
        {**WHOLE, "sentences": [{**SENTENCE, "source": 1}]},
        {**WHOLE, "sentences": [SENTENCE, SENTENCE]},
        {"format_version": 1, "sentences": [SENTENCE]},
        {**WHOLE, "moments": [{"step": "1", "translations": [SHOWN]}]},
        {**WHOLE, "moments": [{"step": 1, "translations": []}]},
        *(
            {**WHOLE, "moments": [{"step": 1, "translations": [{**SHOWN, "cross": cross}]}]}
            for cross in ([], [[0.5]], [[0.5, "0.5"]], [[0.5, float("nan")]], [[1.5, 0]], [0.5], None)
        ),
        {**WHOLE, "moments": [{"step": 1, "translations": [{**SHOWN, "pieces": [None]}]}]},
        [],
        None,
        *("", "{", "[" * 100_000, "\udcff"),
    ],
)
def test_a_damaged_film_is_none(tmp_path: Path, damaged: object) -> None:
    text = damaged if isinstance(damaged, str) else json.dumps(damaged)
    (tmp_path / FILM).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert read_film(tmp_path / FILM) is None


def test_an_absent_film_is_none(tmp_path: Path) -> None:
    assert read_film(tmp_path / FILM) is None
    (tmp_path / FILM).mkdir()
    assert read_film(tmp_path / FILM) is None
