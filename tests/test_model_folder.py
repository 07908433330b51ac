"""The model folder is complete and verified, and nothing in it is unpickled."""

import itertools
import json
import math
import os
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from phrases import Trained

from translator.config import TokenizerConfig
from translator.data.tokenizer import Tokenizer
from translator.errors import ModelError
from translator.model_folder import (
    CONFIG,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    load_model_folder,
    load_unfinished,
    newest_model,
    save_weights,
    write_manifest,
)

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")

UPDATE = "(if a newer version wrote the folder, update)"
SOURCE = torch.tensor([[300, 301, 302, 3]])
TARGET = torch.tensor([[2, 303, 304]])


@pytest.fixture
def folder(trained: Trained, tmp_path: Path) -> Path:
    """A copy of a model folder, to be damaged."""
    copy = tmp_path / "copy"
    shutil.copytree(trained.model, copy)
    return copy


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_that_are_no_floating_point_numbers_are_refused(trained: Trained, tmp_path: Path) -> None:
    folder = shutil.copytree(trained.model, tmp_path / "model")
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    name = next(iter(weights))
    safetensors.torch.save_file(weights | {name: weights[name].to(torch.int32)}, folder / WEIGHTS)
    with pytest.raises(ModelError, match=rf"{name} is int32, not a floating-point type"):
        load_unfinished(folder)


def test_loading_twice_gives_the_same_logits_and_another_weight_does_not(folder: Path) -> None:
    first, second = load_model_folder(folder).model, load_model_folder(folder).model
    with torch.inference_mode():
        assert torch.equal(first(SOURCE, TARGET), second(SOURCE, TARGET))
        next(second.parameters()).data.view(-1)[3000:9000] += 1e-3
        assert not torch.equal(first(SOURCE, TARGET), second(SOURCE, TARGET))
    assert not first.training


def test_the_manifest_says_where_the_model_comes_from(trained: Trained) -> None:
    manifest = load_model_folder(trained.model).manifest
    assert manifest["format_version"] == 1
    assert manifest["seed"] == 1
    assert (manifest["source_language"], manifest["target_language"]) == ("fr", "en")
    assert manifest["weights"]["averaged"] is True
    assert manifest["weights"]["of_step"] in (20, 40)
    assert 0 <= manifest["weights"]["val_bleu"] <= 100
    assert set(manifest["data"]) == {f"{s}.{x}" for s in ("train", "val", "test") for x in ("fr", "en")}
    assert {"torch", "lightning", "sentencepiece"} <= set(manifest["versions"])
    assert set(manifest["sha256"]) == {WEIGHTS, TOKENIZER, CONFIG}
    assert {"score", "low", "high", "signature"} == set(manifest["scores"]["test"]["bleu"])
    assert "git_commit" in manifest


def test_no_manifest_is_no_model(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert "it has no manifest.json; give the `model` folder of a finished run" in refusal(folder)


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert refusal(folder) == f"{folder / name}: missing; fetch the folder again"


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG])
def test_one_flipped_bit_is_found(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    assert refusal(folder).startswith(f"{folder / name}: damaged: its SHA-256 is not in the manifest")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format_version=2), "format version 2, but this program reads 1"),
        (lambda m: m.pop("format_version"), "format version None"),
        (lambda m: m.pop("sha256"), "damaged"),
        (lambda m: m.update(sha256=["x"]), "damaged"),
        (lambda m: m["sha256"].clear(), "damaged"),
    ],
)
def test_another_manifest_is_refused(
    folder: Path, change: Callable[[dict[str, object]], object], message: str
) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert message in refusal(folder)


@pytest.mark.parametrize("content", [b'{"format_version": 1, ', b"", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_no_json(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert refusal(folder).startswith(f"{folder / MANIFEST}: damaged: ")


@pytest.mark.parametrize("content", ["[]", "1", "null", '"format_version"'])
def test_a_manifest_that_is_no_object(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    assert refusal(folder) == f"{folder / MANIFEST}: format version None, but this program reads 1"


@pytest.mark.parametrize("content", [b"", b"{", b'{"data": "\xe9"}', b"[" * 100_000])
def test_a_configuration_that_is_no_json(folder: Path, content: bytes) -> None:
    (folder / CONFIG).write_bytes(content)
    write_manifest(folder, {})  # its hash is right now, so it comes to reading
    assert refusal(folder).startswith(f"{folder / CONFIG}: not valid JSON: ")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_in_place_of_the_weights_is_never_run(folder: Path, tmp_path: Path) -> None:
    (folder / WEIGHTS).write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    write_manifest(folder, {})  # its hash is right now, so it comes to loading
    assert refusal(folder).startswith(f"{folder / WEIGHTS}: cannot be read")
    assert not (tmp_path / "boom").exists()
    pickle.loads((folder / WEIGHTS).read_bytes())  # control: the bomb is live
    assert (tmp_path / "boom").exists()


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    config = json.loads((folder / CONFIG).read_text())
    config["model"]["feed_forward"] *= 2
    (folder / CONFIG).write_text(json.dumps(config))
    write_manifest(folder, {})
    line = refusal(folder)
    assert line.startswith(f"{folder / WEIGHTS}: does not fit config.json: size mismatch for ")
    assert "feed_forward" in line


def test_a_configuration_of_a_huge_model_is_refused_before_it_takes_memory(folder: Path) -> None:
    written = (folder / CONFIG).read_text()
    for changes, problem in (
        ({"feed_forward": 65_536, "n_encoder_layers": 8, "n_decoder_layers": 16}, "there is no "),
        ({"feed_forward": 65_536}, "size mismatch for "),
        ({"width": 65_536, "n_heads": 65_536}, "size mismatch for "),
        ({"n_encoder_layers": 1000}, "there is no encoder.layers."),
    ):
        config = json.loads(written)
        config["model"] |= changes
        (folder / CONFIG).write_text(json.dumps(config))
        write_manifest(folder, {})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert problem in refusal(folder)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_another_model_s_tokenizer_is_refused(folder: Path) -> None:
    other, _ = Tokenizer.train(["Autre chose.", "Something else."] * 9, TokenizerConfig(vocabulary_size=300))
    (folder / TOKENIZER).write_bytes(other.model)
    assert refusal(folder).startswith(f"{folder / TOKENIZER}: damaged")
    write_manifest(folder, {})  # its hash is right now, and it still does not fit
    assert "does not fit config.json: size mismatch for embedding.weight" in refusal(folder)


def test_a_configuration_of_another_program_is_refused(folder: Path) -> None:
    (folder / CONFIG).write_text('{"train": {"max_steps": 1}, "modell": {}}')
    write_manifest(folder, {})
    assert refusal(folder) == f"{folder / CONFIG}: unknown key 'modell'; did you mean 'model'? {UPDATE}"


def test_what_was_saved_computes_the_same(folder: Path, tmp_path: Path) -> None:
    """Transposed views, as some optimisers leave them, are written as they look."""
    whole = load_model_folder(folder)
    views = {name: value.t().contiguous().t() for name, value in whole.model.state_dict().items()}
    assert not all(value.is_contiguous() for value in views.values())
    save_weights(tmp_path / "saved", views, whole.tokenizer, whole.config)
    assert "it has no manifest.json" in refusal(tmp_path / "saved")
    write_manifest(tmp_path / "saved", {"seed": 7})
    saved = load_model_folder(tmp_path / "saved")
    with torch.inference_mode():
        assert torch.equal(saved.model(SOURCE, TARGET), whole.model(SOURCE, TARGET))
    assert (saved.config, saved.tokenizer.model) == (whole.config, whole.tokenizer.model)
    assert saved.manifest["seed"] == 7


def test_the_newest_finished_run_is_found(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for age, name in enumerate(("new", "old", "unfinished")):
        (root / name / "model").mkdir(parents=True)
        manifest = root / name / "model" / MANIFEST
        manifest.write_text("{}")
        os.utime(manifest, (1000 - age, 1000 - age))
    os.utime(root / "unfinished" / "model" / MANIFEST, (2000, 2000))
    (root / "unfinished" / "model" / MANIFEST).unlink()
    assert newest_model(root) == root / "new" / "model"


def test_a_copied_runs_folder_has_the_same_newest_model(tmp_path: Path) -> None:
    """The manifests' dates count, in whatever zone; where one has none, its file's time."""
    dates = {
        "old": "2026-01-01T12:00:00+00:00",
        "new": "2026-01-01T12:00:00+00:00".replace("+00", "-02"),
        "east": "2026-01-01T13:00:00+02:00",
    }
    for name, date in dates.items():
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / MANIFEST).write_text(json.dumps({"created": date}))
    for names in itertools.permutations(dates):
        for seconds, name in enumerate(names):
            os.utime(tmp_path / name / "model" / MANIFEST, (seconds, seconds))
        assert newest_model(tmp_path) == tmp_path / "new" / "model"
    for content in ("{", "[]", "null", "{}", '{"created": 5}', '{"created": "soon"}', "[" * 99_999, "\xff"):
        (tmp_path / "undated" / "model").mkdir(parents=True, exist_ok=True)
        undated = tmp_path / "undated" / "model" / MANIFEST
        undated.write_text(content, encoding="latin-1")
        os.utime(undated, (1, 1))
        assert newest_model(tmp_path) == tmp_path / "new" / "model"
        os.utime(undated, (4e9, 4e9))
        assert newest_model(tmp_path) == undated.parent


def test_without_a_finished_run_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run `translator train phrasebook` first, or give --model FOLDER"):
        newest_model(tmp_path)


NOT_FINITE = "has values that are not finite (nan or inf)"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_neither_read_nor_written(
    folder: Path, tmp_path: Path, value: float
) -> None:
    whole = load_model_folder(folder)
    weights = whole.model.state_dict()
    name = "decoder.layers.0.cross_attention.query.weight"
    weights[name].view(-1)[-1] = value
    with pytest.raises(ModelError) as caught:
        save_weights(tmp_path / "saved", weights, whole.tokenizer, whole.config)
    assert (
        str(caught.value) == f"{tmp_path / 'saved'}: not written: {name} {NOT_FINITE}; the training diverged"
    )
    assert not (tmp_path / "saved").exists()
    (folder / WEIGHTS).write_bytes(safetensors.torch.save(weights))
    write_manifest(folder, {})  # its hash is right
    expected = f"{folder / WEIGHTS}: {name} {NOT_FINITE}, so the model cannot translate; use another model"
    assert refusal(folder) == expected
    weights[name].view(-1)[-1] = 3e38  # the control: as large as a number may be
    save_weights(tmp_path / "saved", weights, whole.tokenizer, whole.config)
