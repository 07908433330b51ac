"""The converted model translates the same for every kind of layer, and errors in it are detected."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from phrases import Trained

from translator import Translator
from translator.building import build_model
from translator.errors import ExportError
from translator.export import to_ctranslate2
from translator.export.check import Comparison, check, search_both
from translator.export.to_ctranslate2 import CTranslate2Engine, write_model
from translator.model.positions import sinusoids
from translator.model_folder import LoadedModel

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

Learnt = Callable[[str, str], Path]
Draw = Callable[[str, str], Translator]
ACTIVATIONS = ("relu", "gelu", "silu")

for_every_shape = pytest.mark.parametrize(
    ("norm", "activation"), [(norm, activation) for norm in ("pre", "post") for activation in ACTIVATIONS]
)


def exported(translator: Translator, folder: Path) -> CTranslate2Engine:
    folder.mkdir()
    write_model(folder, translator.model, translator.tokenizer, translator.config.model)
    return CTranslate2Engine(folder, translator.tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "activation"),
    [("pre", "gelu"), ("post", "relu"), ("post", "silu")],
)
def test_the_same_translations_greedy_and_with_a_beam(
    trained: Trained, learnt: Learnt, tmp_path: Path, norm: str, activation: str
) -> None:
    translator = Translator.load(learnt(norm, activation))
    engine = exported(translator, tmp_path / "out")
    lines = [*trained.lines("test.fr"), *trained.lines("val.fr"), *trained.lines("train.fr")[:30]]
    sources = [ids for _, ids in translator.cut(lines)]
    for beam_size in (1, 5):
        if beam_size > 1:  # CTranslate2 renormalises over what is not suppressed: 1e-4 that may end a beam
            engine._never = []
        ours, theirs = search_both(translator, engine, sources, beam_size)
        assert ours == theirs
        assert len(set(map(tuple, ours))) > 40, "outputs that tell sources apart"


@for_every_shape
def test_weights_that_nobody_trained(
    draw: Draw, tmp_path: Path, lines: list[str], norm: str, activation: str
) -> None:
    """No weight is near nought or one, and many outputs are ended by the limit."""
    translator = draw(norm, activation)
    found = check(translator, exported(translator, tmp_path / "out"), lines)
    assert (found.n_lines, found.comparisons) == (25, [Comparison(1, [], [])])


def test_outputs_that_run_into_the_limit(trained: Trained, tmp_path: Path, lines: list[str]) -> None:
    translator = Translator.load(trained.model)
    sources = [ids for _, ids in translator.cut(lines)]
    ours, theirs = search_both(translator, exported(translator, tmp_path / "out"), sources, 1)
    assert ours == theirs
    limits = [translator.longest_output(ids, translator.config.search) for ids in sources]
    assert any(len(ids) + 1 == most for ids, most in zip(ours, limits, strict=True))
    assert len(set(limits)) > 5


def interleaved(length: int, width: int, *, base: float) -> torch.Tensor:
    """The paper's layout: sine, cosine, sine …"""
    halves = sinusoids(length, width, base=base).view(length, 2, -1)
    return halves.transpose(1, 2).reshape(length, width).contiguous()


def one_later(length: int, width: int, *, base: float) -> torch.Tensor:
    """CTranslate2's offset."""
    return sinusoids(length + 1, width, base=base)[1:].contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("positions", [interleaved, one_later], ids=lambda wrong: wrong.__name__)
def test_other_positions_are_seen(
    learnt: Learnt, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, positions: object
) -> None:
    """A control, as those below."""
    monkeypatch.setattr(to_ctranslate2, "sinusoids", positions)
    translator = Translator.load(learnt("pre", "relu"))
    with pytest.raises(ExportError, match=r"translations differ: line \d+ becomes"):
        check(translator, exported(translator, tmp_path / "out"), lines)


@for_every_shape
def test_another_activation_is_seen(
    draw: Draw,
    tmp_path: Path,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    norm: str,
    activation: str,
) -> None:
    other = ACTIVATIONS[ACTIVATIONS.index(activation) - 1]
    wrong = {activation: to_ctranslate2.ACTIVATIONS[other]}
    monkeypatch.setattr(to_ctranslate2, "ACTIVATIONS", wrong)
    translator = draw(norm, activation)
    with pytest.raises(ExportError, match=r"translations differ: line \d+ becomes"):
        check(translator, exported(translator, tmp_path / "out"), lines)


@pytest.mark.slow
def test_the_other_place_of_norms_is_seen(learnt: Learnt, tmp_path: Path, lines: list[str]) -> None:
    translator = Translator.load(learnt("pre", "relu"))
    shape = translator.config.model.model_copy(update={"norm": "post"})
    for stack in (translator.model.encoder, translator.model.decoder):
        stack.norm = torch.nn.Identity()
    (tmp_path / "out").mkdir()
    write_model(tmp_path / "out", translator.model, translator.tokenizer, shape)
    engine = CTranslate2Engine(tmp_path / "out", translator.tokenizer)
    with pytest.raises(ExportError, match=r"translations differ: line \d+ becomes"):
        check(Translator.load(learnt("pre", "relu")), engine, lines)


def test_forbidden_pieces_never_come_out(draw: Draw, tmp_path: Path, lines: list[str]) -> None:
    """A model that would write nothing else is kept from it by both, in the same way."""
    translator = draw("pre", "relu")
    never = set(translator.tokenizer.never_emitted)
    with torch.no_grad():
        translator.model.embedding.weight[sorted(never)] *= 4
    translator = Translator(translator.model, translator.tokenizer, translator.config)
    engine = exported(translator, tmp_path / "out")
    sources = [ids for _, ids in translator.cut(lines)]
    ours, theirs = search_both(translator, engine, sources, 1)
    assert ours == theirs
    assert never.isdisjoint(number for ids in theirs for number in ids)
    engine._never = []
    _, free = search_both(translator, engine, sources, 1)
    assert not never.isdisjoint(number for ids in free for number in ids), "the control"


def test_a_table_for_the_longest_source(bundle: LoadedModel, tmp_path: Path) -> None:
    """It is as long as the model's longest source, and at least CTranslate2's."""
    sizes = {}
    for most in (40, 1500):
        shape = bundle.config.model.model_copy(update={"max_length": most})
        folder = tmp_path / f"out-{most}"
        folder.mkdir()
        write_model(folder, build_model(shape, len(bundle.tokenizer)), bundle.tokenizer, shape)
        sizes[most] = (folder / "model.bin").stat().st_size
    assert sizes[1500] - sizes[40] == (1500 - 1024) * shape.width * 4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_not_written(draw: Draw, tmp_path: Path, value: float) -> None:
    translator = draw("pre", "relu")
    translator.model.decoder.layers[0].feed_norm.bias.data[3] = value
    with pytest.raises(
        ExportError, match=r"^decoder\.layers\.0\.feed_norm\.bias has values that are not finite"
    ):
        exported(translator, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
