"""A training that starts from a model: what it takes from the model, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from translator.building import build_model
from translator.config import Config
from translator.config.file import load_config
from translator.data.preparation import prepare
from translator.errors import ConfigError, ModelError
from translator.initial_model import initial_folder, load_initial_model
from translator.model_folder import (
    CONFIG,
    MANIFEST,
    TOKENIZER,
    WEIGHTS,
    LoadedModel,
    save_weights,
    write_manifest,
)

MakeConfig = Callable[..., Config]

#: A configuration that says nothing of the vocabulary and the model.
SHORT = """
data:
  format: text
  root: {root}/corpus
  files: {{train: "train.{{lang}}", val: "val.{{lang}}"}}
  cache: {root}/cache
train: {{max_steps: 1, init_from: {root}/runs/base}}
"""


@pytest.fixture
def make_model(tiny_config: MakeConfig, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run with an untrained model of `tiny_config`, and returns the model folder."""

    def make(*overrides: str) -> Path:
        config, folder = tiny_config(*overrides), tmp_path / "runs" / "base" / "model"
        tokenizer = prepare(config).tokenizer
        save_weights(folder, build_model(config.model, len(tokenizer)).state_dict(), tokenizer, config)
        write_manifest(folder, {})
        return folder

    return make


@pytest.fixture
def short(tmp_path: Path) -> Callable[..., Config]:
    """A function `(*overrides) -> Config` for `SHORT`."""
    path = tmp_path / "short.yaml"
    path.write_text(SHORT.format(root=tmp_path))

    def make(*overrides: str) -> Config:
        return load_config(path, overrides)

    return make


def loaded(config: Config) -> tuple[Config, LoadedModel]:
    config, initial = load_initial_model(config, initial_folder(config))
    assert initial is not None
    return config, initial


def test_keys_that_are_not_given_are_those_of_the_model(
    make_model: Callable[..., Path], short: MakeConfig
) -> None:
    make_model("data.input_map=null", "tokenizer.kind=unigram", "model.dropout=0.3")
    config, initial = loaded(short())
    assert config.model == initial.config.model
    assert config.tokenizer == initial.config.tokenizer
    assert config.data.input_map is None
    assert (config.model.width, config.model.dropout, config.tokenizer.kind) == (16, 0.3, "unigram")
    assert (config.train, config.data.files) == (short().train, short().data.files)
    assert short().model.width == 256  # control: the defaults


def test_without_an_initial_model_nothing_changes(short: MakeConfig) -> None:
    config = short("train.init_from=null")
    assert load_initial_model(config, initial_folder(config)) == (config, None)


def test_the_run_or_its_model_folder_may_be_named(make_model: Callable[..., Path], short: MakeConfig) -> None:
    folder = make_model()
    for name in (folder, folder.parent):
        assert initial_folder(short(f"train.init_from={name}")) == folder


def test_dropout_may_differ_and_equal_keys_may_be_repeated(
    make_model: Callable[..., Path], short: MakeConfig
) -> None:
    make_model()
    config, _ = loaded(short("model.dropout=0.4", "tokenizer.dropout=0.1", "model.width=16"))
    assert (config.model.dropout, config.tokenizer.dropout, config.model.width) == (0.4, 0.1, 16)


def test_other_keys_are_refused_in_one_line(make_model: Callable[..., Path], short: MakeConfig) -> None:
    make_model()
    given = ("data.input_map=null", "tokenizer.vocabulary_size=5000", "model.width=32", "model.norm=post")
    with pytest.raises(ConfigError) as raised:
        loaded(short(*given, "model.dropout=0.4"))
    assert str(raised.value).endswith(
        "base: the model has other values, in brackets: data.input_map=null (1), "
        'tokenizer.vocabulary_size=5000 (400), model.width=32 (16), model.norm="post" ("pre"); '
        "leave these keys out"
    )


def test_another_direction_is_refused(make_model: Callable[..., Path], short: MakeConfig) -> None:
    make_model()
    with pytest.raises(ConfigError, match=r"base: the model translates fr → en, not en → fr; choose another"):
        loaded(short("data.source_language=en", "data.target_language=fr"))


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, CONFIG, MANIFEST])
def test_a_damaged_folder_is_refused_in_one_line(
    make_model: Callable[..., Path], short: MakeConfig, name: str
) -> None:
    path = make_model() / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=f"{name}: damaged: [^\n]*$"):
        loaded(short())
    path.unlink()
    with pytest.raises(ModelError, match=r"missing; fetch|not a model folder"):
        loaded(short())


def test_a_folder_that_is_not_there_is_refused(short: MakeConfig) -> None:
    with pytest.raises(ModelError, match=r"base: not a model folder: it does not exist; give the `model`"):
        loaded(short())


def test_the_cache_of_a_corpus_depends_on_the_vocabulary_it_is_given(
    make_model: Callable[..., Path], short: MakeConfig, tmp_path: Path
) -> None:
    make_model()
    config, initial = loaded(short())
    own, first = prepare(config), prepare(config, initial.tokenizer)
    assert first.tokenizer.model == initial.tokenizer.model
    assert first.folder == prepare(config, initial.tokenizer).folder != own.folder
    shutil.rmtree(tmp_path / "runs")
    make_model("tokenizer.kind=unigram")
    config, other = loaded(short())
    assert len({prepare(config, other.tokenizer).folder, first.folder, own.folder}) == 3
