"""The configuration: accepted and rejected values, and messages that name line, key and allowed values."""

import itertools
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from translator.config import Config
from translator.config.file import config_from_json, config_to_yaml, load_config, with_overrides
from translator.config.reference import describe_schema, field_reference, json_schema
from translator.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
BUDGET = "train:\n  max_steps: 10\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def refusal(file: Path, text: str | bytes, *overrides: str) -> str:
    """Return the message for a rejected configuration, with the file as `c.yaml`."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 1
    return message.replace(str(file), "c.yaml")


def accepted(file: Path, text: str, *overrides: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load_config(file, overrides)


# Rejected contents of a file, and the message.
REFUSED = {
    "unknown section": ("modle:\n  width: 8\n", "c.yaml:3: unknown key 'modle'; did you mean 'model'?"),
    "unknown key": (
        "model:\n  widht: 8\n",
        "c.yaml:4: unknown key 'model.widht'; did you mean 'width'?",
    ),
    "unlike any key": (
        "run:\n  xyz: 8\n",
        "c.yaml:4: unknown key 'run.xyz'; known: name, root",
    ),
    "text for a number": (
        "model:\n  width: big\n",
        'c.yaml:4: model.width="big" does not fit; allowed: a whole number ≥ 1 and ≤ 65536',
    ),
    "true is no integer": (
        "model:\n  width: True\n",
        "c.yaml:4: model.width=true does not fit; allowed: a whole number ≥ 1 and ≤ 65536",
    ),
    "a fraction is no integer": (
        "model:\n  n_encoder_layers: 2.0\n",
        "c.yaml:4: model.n_encoder_layers=2.0 does not fit; allowed: a whole number ≥ 1 and ≤ 1000; write 2",
    ),
    "a whole number with an exponent": (
        "validation:\n  every_steps: 1e5\n",
        "c.yaml:4: validation.every_steps=100000.0 does not fit; allowed: a whole number ≥ 1; write 100000",
    ),
    "a number pairs, with an exponent": (
        "data:\n  held_out: {val: 1e3}\n",
        "c.yaml:4: data.held_out.val=1000.0 does not fit; allowed: a whole number ≥ 1; write 1000",
    ),
    "braces alone, not in quotes": (
        "data:\n  format: text\n  files:\n    train: {lang}\n",
        'c.yaml:6: data.files.train={"lang": null} does not fit; allowed: text or a map; put braces in '
        'quotes: train: "{lang}"',
    ),
    "a value too long to show": (
        f"run:\n  name: {'x' * 999}/\n",
        f'c.yaml:4: run.name="{"x" * 199} … does not fit; allowed: text of the form '
        "^[^/\\\\\\s.][^/\\\\]*$ or null",
    ),
    "number as text": (
        'model:\n  width: "8"\n',
        'c.yaml:4: model.width="8" does not fit; allowed: a whole number ≥ 1 and ≤ 65536',
    ),
    "below the range": (
        "model:\n  max_length: 7\n",
        "c.yaml:4: model.max_length=7 does not fit; allowed: a whole number ≥ 8 and ≤ 65536",
    ),
    "above the range": (
        "model:\n  dropout: 1\n",
        "c.yaml:4: model.dropout=1 does not fit; allowed: a number ≥ 0 and < 1",
    ),
    "not a number": (
        "model:\n  dropout: .nan\n",
        "c.yaml:4: model.dropout=NaN does not fit; allowed: a number ≥ 0 and < 1",
    ),
    "without end": (
        "search:\n  length_penalty: .inf\n",
        "c.yaml:4: search.length_penalty=Infinity does not fit; allowed: a number ≥ 0 and ≤ 10",
    ),
    "no such choice": (
        "model:\n  norm: mid\n",
        'c.yaml:4: model.norm="mid" does not fit; allowed: pre, post',
    ),
    "yes is a word": (
        "hardware:\n  devices: yes\n",
        'c.yaml:4: hardware.devices="yes" does not fit; allowed: a whole number ≥ 1 or auto or null',
    ),
    "a list too short": (
        "run:\n  root: [a]\n",
        'c.yaml:4: run.root=["a"] does not fit; allowed: text that is not empty',
    ),
    "no text": ('run:\n  root: ""\n', 'c.yaml:4: run.root="" does not fit; allowed: text that is not empty'),
    "a value for a section": (
        "model: 8\n",
        "c.yaml:3: model=8 does not fit; allowed: a section with keys and values",
    ),
    "a value of a map": (
        "data:\n  columns:\n    fr: 0\n",
        "c.yaml:5: data.columns.fr=0 does not fit; allowed: text or a whole number ≥ 1",
    ),
    "a number of pairs": (
        "data:\n  held_out: {val: none}\n",
        'c.yaml:4: data.held_out.val="none" does not fit; allowed: a whole number ≥ 1',
    ),
    "two problems": (
        "model:\n  width: 0\n  n_heads: 0\n",
        "c.yaml:4: model.width=0 does not fit; allowed: a whole number ≥ 1 and ≤ 65536 (and 1 more)",
    ),
    "heads that do not divide": (
        "model:\n  n_heads: 8\n  width: 250\n",
        "c.yaml:5: model.width=250 is not a multiple of model.n_heads=8; try 248 or 256",
    ),
    "odd heads": (
        "model: {width: 15, n_heads: 7}\n",
        "c.yaml:3: model.width=15 is not a multiple of model.n_heads=7; try 14 or 28",
    ),
    "odd width": (
        "model: {width: 21, n_heads: 7}\n",
        "c.yaml:3: model.width=21 is odd; sinusoidal positions need an even width",
    ),
    "same languages": (
        "data: {source_language: en}\n",
        "c.yaml:3: data.source_language and data.target_language are both 'en'; they name the two sides of "
        "the corpus, so they must differ",
    ),
    "hub without a data set": (
        "data: {format: hub}\n",
        "c.yaml:3: data.dataset is missing; data.format=hub needs a Hub id or a folder",
    ),
    "no training file": (
        "data: {format: text}\n",
        "c.yaml:3: data.files.train is missing; data.format=text needs it",
    ),
    "no place for the language": (
        "data:\n  format: text\n  files:\n    train: a.fr\n",
        "c.yaml:6: data.files.train='a.fr' has no {lang}; write {lang} in place of the language code, or "
        "give a map such as {fr: a.fr, en: a.en}",
    ),
    "a side without a file": (
        "data:\n  format: text\n  files:\n    train: {fr: a.fr}\n",
        "c.yaml:6: data.files.train has no file for language 'en'",
    ),
    "two files for a table": (
        "data:\n  format: tsv\n  files:\n    train: {fr: a, en: b}\n",
        "c.yaml:6: data.files.train is a map; only data.format=text has one file per language",
    ),
    "train held out": (
        "data: {format: tsv, files: {train: a}, held_out: {train: 5}}\n",
        "c.yaml:3: data.held_out.train names a split that the source already has; remove it from "
        "data.held_out or from data.files",
    ),
    "a split that is there, held out": (
        "data:\n  format: tsv\n  files: {train: a, val: b}\n  held_out:\n    val: 5\n",
        "c.yaml:7: data.held_out.val names a split that the source already has; remove it from "
        "data.held_out or from data.files",
    ),
    "phrasebook held out": (
        "data: {held_out: {dev: 5}}\n",
        "c.yaml:3: data.held_out.dev names a split that the source already has; remove it from "
        "data.held_out or from data.files",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_key_line_and_what_is_allowed(file: Path, name: str) -> None:
    text, message = REFUSED[name]
    assert refusal(file, BUDGET + text) == message


def test_a_batch_must_hold_the_longest_sentence(file: Path) -> None:
    small = BUDGET + "  max_tokens_per_batch: 255\n"
    assert refusal(file, small) == (
        "c.yaml:3: train.max_tokens_per_batch=255 is below model.max_length=256; the longest sentence must "
        "fit in a batch, so raise the first or lower the second"
    )
    assert accepted(file, small.replace("255", "256")).train.max_tokens_per_batch == 256


def test_muon_needs_whole_matrices(file: Path) -> None:
    text = "train: {max_steps: 1, optimizer: muon}\nhardware: {strategy: fsdp}\n"
    assert refusal(file, text).endswith(
        "hardware.strategy=fsdp shards matrices and train.optimizer=muon needs them whole; use ddp or adamw"
    )
    assert accepted(file, text.replace("fsdp", "ddp")).train.optimizer == "muon"
    assert accepted(file, text.replace("muon", "adamw")).hardware.strategy == "fsdp"


def test_training_needs_a_budget(file: Path) -> None:
    message = "train has no budget; give train.max_steps, train.max_epochs or train.max_minutes"
    assert refusal(file, "train: {}\n") == f"c.yaml:1: {message}"
    assert refusal(file, "") == "c.yaml: train is missing; it needs a section with keys and values"
    for budget in ("max_steps: 1", "max_epochs: 1", "max_minutes: 0.5"):
        assert accepted(file, f"train: {{{budget}}}\n").train.seed == 1


@pytest.mark.slow
@given(width=st.integers(1, 3000), n_heads=st.integers(1, 40))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_suggested_widths_are_accepted_and_lie_around(file: Path, width: int, n_heads: int) -> None:
    def load(width: int) -> Config:
        return accepted(file, f"{BUDGET}model: {{width: {width}, n_heads: {n_heads}}}\n")

    if width % n_heads == 0:
        return
    message = refusal(file, f"{BUDGET}model: {{width: {width}, n_heads: {n_heads}}}\n")
    suggested = [int(number) for number in re.findall(r"try (\d+) or (\d+)$", message)[0]]
    assert suggested[0] < suggested[1]
    assert suggested[1] > width
    assert [load(number).model.width for number in suggested] == suggested


# Files that are rejected before their keys are checked.
BROKEN = {
    "duplicate key": (b"run: {}\ntrain:\n  seed: 1\n  seed: 2\n", r'c\.yaml:4: found duplicate key "seed".*'),
    "bad yaml": (b"train:\n  a: b: c\n", r"c\.yaml:2: mapping values are not allowed here"),
    "tab": (b"train:\n\tseed: 1\n", r"c\.yaml:2: found character '\\t' that cannot start any token"),
    "list": (b"- a\n", r"c\.yaml: has no sections; start with one, such as `train:`"),
    "latin-1": ("# é\n".encode("latin-1"), r"c\.yaml: byte 2 is not valid UTF-8; save it as UTF-8"),
    "control": (b"a: \x01\n", r"c\.yaml: not valid YAML: unacceptable character #x0001: .*"),
    "list as key": (b"? [a]\n: b\n", r"c\.yaml:1: a key is a list or a map; it must be text"),
    "a list as key by its name": (b"a: &a [1]\n*a : b\n", r"c\.yaml:1: a key is a list or a map; .*"),
    "maps as keys of each other": (b"a:\n  " + b"? " * 40, r"c\.yaml:2: a key is a list or a map; .*"),
    "the same in braces": (b"a: " + b"{" * 40 + b"x" + b": 1}" * 40, r"c\.yaml:1: a key is a list or .*"),
    "deep": (b"a: " + b"[" * 600, r"c\.yaml: lists and maps are nested too deep"),
    "deep, and closed": (b"a: " + b"[" * 20_000 + b"]" * 20_000, r"c\.yaml: lists .* nested too deep"),
    "as deep as JSON bears": (b"a: " + b"[" * 200 + b"]" * 200, r"c\.yaml: lists .* nested too deep"),
    "deep blocks": (b"".join(b" " * i + b"a:\n" for i in range(200)), r"c\.yaml: lists .* nested too deep"),
    "many digits": (b"a: " + b"9" * 5000, r"c\.yaml: a value cannot be read: Exceeds the limit[^;]*"),
    "many digits, hexadecimal": (b"a: 0x" + b"f" * 9000, r"c\.yaml: a value cannot be read: Exceeds[^;]*"),
    "no date": (b"a: 2025-13-45\n", r"c\.yaml: a value cannot be read: month must be in 1\.\.12"),
    "a tag on something else": (b"a: !!float ''\n", r"c\.yaml: a value cannot be read: .*"),
    "a word tagged as a truth value": (b"a: !!bool x\n", r"c\.yaml: a value cannot be read: .*"),
    "large": (b"a: " + b"x" * 100_000, r"c\.yaml: has more than 100,000 bytes; give a configuration"),
    "aliases that explode": (
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (i + 1, i + 1, b", ".join([b"*%c" % i] * 9)) for i in range(97, 105)),
        r"c\.yaml: has more than 10,000 values, aliases \(\*\) expanded; write out what it needs",
    ),
    "braces before a name": (
        b"data:\n  files:\n    train: {lang}.txt\n    val: {lang}-val.txt\n",
        r"c\.yaml:3: \{lang\}\.txt has braces, which mean a map in YAML; put it in quotes: "
        r'train: "\{lang\}\.txt"',
    ),
    "braces in a map": (
        b"data:\n  files: {train: 'a.{lang}', val: b.{lang}}\n",
        r"c\.yaml:2: b\.\{lang\} has braces, .*; put it in quotes: "
        r"""files: \{train: 'a\.\{lang\}', val: "b\.\{lang\}"\}""",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_gives_one_line(file: Path, name: str) -> None:
    text, message = BROKEN[name]
    assert re.fullmatch(message, refusal(file, text))


NAMES = "multi30k, my-corpus, opus100, phrasebook, wmt14"


def test_a_missing_file_and_a_folder_give_one_line_with_the_known_names(tmp_path: Path) -> None:
    known = f"give a configuration file, or a name: {NAMES}$"
    with pytest.raises(ConfigError, match=rf"no\.yaml: there is no such file; {known}"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(ConfigError, match=rf": is a folder; {known}"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=rf"^phrasebok: there is no such file; {known}"):
        load_config("phrasebok")
    with pytest.raises(ConfigError, match=r"^\.: is a folder"):
        load_config(".")


def test_a_name_finds_a_configuration_and_a_path_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phrasebook").mkdir()  # a folder is no configuration
    known = load_config(ROOT / "configs/phrasebook.yaml")
    assert capsys.readouterr().err == ""
    assert load_config("phrasebook", ["train.seed=2"]).train.seed == 2
    assert load_config("phrasebook") == known
    assert capsys.readouterr().err.splitlines()[-1].endswith("translator/configs/phrasebook.yaml")
    for name in ("phrasebook.yaml", "opus100"):
        Path(name).write_text(f"{BUDGET}  seed: 5\n", encoding="utf-8")
    assert load_config("phrasebook").train.seed == 5
    assert capsys.readouterr().err == "configuration: phrasebook.yaml\n"
    assert load_config("opus100").train.seed == 5
    assert capsys.readouterr().err == ""


def test_every_configuration_is_known_by_name() -> None:
    assert (ROOT / "translator/configs").resolve() == ROOT / "configs"
    assert sorted(path.stem for path in (ROOT / "configs").glob("*.yaml")) == NAMES.split(", ")


def test_yaml_is_version_1_2(file: Path) -> None:
    config = accepted(
        file, BUDGET + "  learning_rate: 1e-3\nrun: {name: no}\ndata: {cache: off, source_language: no}\n"
    )
    assert config.train.learning_rate == 0.001
    assert (config.run.name, config.data.cache, config.data.source_language) == ("no", "off", "no")


def test_a_byte_order_mark_before_a_configuration_is_no_matter(file: Path) -> None:
    assert accepted(file, "\ufeff" + BUDGET) == accepted(file, BUDGET)


# Rejected overrides, and the message.
OVERRIDES = {
    "modle.width=8": "override modle.width=8: unknown key 'modle'; did you mean 'model'?",
    "model.widht=8": "override model.widht=8: unknown key 'model.widht'; did you mean 'width'?",
    "model.width=8.5": "override model.width=8.5: model.width=8.5 does not fit; allowed: a whole number ≥ 1 "
    "and ≤ 65536",
    **{
        f"{key}={most + 1}": f"override {key}={most + 1}: {key}={most + 1} does not fit; "
        f"allowed: {what} and ≤ {most}"
        for key, most, what in (
            ("model.width", 65536, "a whole number ≥ 1"),
            ("model.n_heads", 65536, "a whole number ≥ 1"),
            ("model.feed_forward", 65536, "a whole number ≥ 1"),
            ("model.n_encoder_layers", 1000, "a whole number ≥ 1"),
            ("model.n_decoder_layers", 1000, "a whole number ≥ 1"),
            ("model.max_length", 65536, "a whole number ≥ 8"),
            ("search.beam_size", 1000, "a whole number ≥ 1"),
            ("search.length_penalty", 10, "a number ≥ 0"),
        )
    },
    "model.width=250": "override model.width=250: model.width=250 is not a multiple of model.n_heads=8; "
    "try 248 or 256",
    "model.max_length=65536": "override model.max_length=65536: train.max_tokens_per_batch=3000 is below "
    "model.max_length=65536; the longest sentence must fit in a batch, so raise the first or lower the "
    "second",
    "train.adam_betas=[0.9, 1.5]": "override train.adam_betas=[0.9, 1.5]: train.adam_betas.1=1.5 does not "
    "fit; allowed: a list of 2: a number ≥ 0 and < 1",
    "data.columns.fr=0": "override data.columns.fr=0: data.columns.fr=0 does not fit; allowed: text or a "
    "whole number ≥ 1",
    "data.files.train.fr=1": 'override data.files.train.fr=1: data.files.train={"fr": 1} does not fit; '
    "allowed: text or a map",
    "hardware.precision=&x [*x]": "override hardware.precision=&x [*x]: lists and maps are nested too deep",
    "train.max_steps=1e5": "override train.max_steps=1e5: train.max_steps=100000.0 does not fit; allowed: a "
    "whole number ≥ 1 or null; write 100000",
    "data.files.train={lang}.txt": "override data.files.train={lang}.txt: {lang}.txt has braces, which mean "
    'a map in YAML; put it in quotes: "{lang}.txt"',
    f"train.seed={'9' * 5000}": f"override train.seed={'9' * 189} …: a value cannot be read: Exceeds the "
    "limit (4300 digits) for integer string conversion: value has 5000 digits",
    "train.seed=[1": "override train.seed=[1: expected ',' or ']', but got '<stream end>'",
    "train.seed.x=1": "override 'train.seed.x=1': 'seed' is a value, not a section",
    "train.seed": "override 'train.seed': write section.key=value, such as train.seed=2",
    "seed=1": "override 'seed=1': write section.key=value, such as train.seed=2",
}


@pytest.mark.parametrize("override", OVERRIDES, ids=lambda override: override[:40])
def test_a_refused_override_is_named(file: Path, override: str) -> None:
    text = BUDGET + "  seed: 3\nmodel: {n_heads: 8}\n"
    assert refusal(file, text, "train.max_steps=5", override, "run.name=x") == OVERRIDES[override]


SOURCES = (
    BUDGET
    + """
data:
  root: there
  sources:
    - {name: mine, weight: 7, format: text, files: {train: "a.{lang}"}, held_out: {val: 5}}
    - name: book
      weight: 3
""".lstrip()
)

# Overrides of a source that are rejected, and the message.
REFUSED_OF_SOURCES = {
    "data.sources.0.weight=-1": "data.sources.0.weight=-1 does not fit; allowed: a number > 0",
    "data.sources.0.weihgt=1": "unknown key 'data.sources.0.weihgt'; did you mean 'weight'?",
    "data.sources.2.weight=1": "'sources' is a list of 2, numbered from 0",
    "data.sources.mine.weight=1": "'sources' is a list of 2, numbered from 0",
    "data.sources.1.name=a b": 'data.sources.1.name="a b" does not fit; allowed: text of the form '
    "^[A-Za-z0-9][A-Za-z0-9_-]*$",
    "data.sources.1={weight: 3}": "data.sources.1.name is missing; it needs text of the form "
    "^[A-Za-z0-9][A-Za-z0-9_-]*$",
    "data.sources.0.files=a.fr": 'data.sources.0.files="a.fr" does not fit; allowed: a map',
    "data.sources.0.files.train=a.fr": "data.sources.0.files.train='a.fr' has no {lang}; write {lang} in "
    "place of the language code, or give a map such as {fr: a.fr, en: a.en}",
    "data.sources.1.format=tsv": "data.sources.1.files.train is missing; data.sources.1.format=tsv needs it",
    "data.sources.1.held_out.val=5": "data.sources.1.held_out.val names a split that the source already has; "
    "remove it from data.sources.1.held_out or from data.sources.1.files",
    "data.sources=5": "data.sources=5 does not fit; allowed: a list",
    "data.sources=[5]": "data.sources.0=5 does not fit; allowed: a section with keys and values",
    "data.format=text": "data.format has no effect beside data.sources; move it into one of them",
    "data.held_out={val: 5}": "data.held_out has no effect beside data.sources; move it into one of them",
}


@pytest.mark.parametrize("override", REFUSED_OF_SOURCES)
def test_a_refused_override_of_a_source_is_named(file: Path, override: str) -> None:
    message = refusal(file, SOURCES, override).replace(f"override {override!r}: ", f"override {override}: ")
    assert message == f"override {override}: {REFUSED_OF_SOURCES[override]}"


def test_a_source_is_a_configuration_of_its_own(file: Path) -> None:
    config = accepted(
        file, SOURCES, "data.sources.0.weight=0.5", "data.sources.1.root=here", "data.strict=true"
    )
    assert [(source.name, source.weight) for source in config.data.sources] == [("mine", 0.5), ("book", 3.0)]
    alone = config.data.by_source()
    single = ["data.root=there", "data.format=text", "data.files.train='a.{lang}'", "data.held_out.val=5"]
    plain = accepted(file, BUDGET, *single, "data.strict=true")
    assert alone["mine"] == plain.data
    assert (alone["book"].root, alone["book"].format, alone["book"].strict) == ("here", "phrasebook", True)
    assert plain.data.by_source() == {"": plain.data}
    file.write_text(config_to_yaml(config), encoding="utf-8")
    assert load_config(file) == config_from_json(config.to_json(), where="c.json") == config


def test_a_problem_of_a_source_has_its_line(file: Path) -> None:
    assert refusal(file, SOURCES.replace("weight: 3", "weight: no")).startswith(
        'c.yaml:8: data.sources.1.weight="no" does not fit; '
    )
    twice = refusal(file, SOURCES.replace("name: book", "name: mine"))
    assert twice == "c.yaml:5: data.sources has two sources named 'mine'; give each its own name"
    assert refusal(file, SOURCES.replace("train:", "test:")).startswith(
        "c.yaml:6: data.sources.0.files.train is missing"
    )


def test_a_device_without_end_is_no_configuration() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero: has more than 100,000 bytes; give a configuration"):
        load_config("/dev/zero")


def test_aliases_within_bounds_are_followed(file: Path) -> None:
    config = accepted(file, "train: {max_steps: &n 5}\nvalidation: {every_steps: *n}\n")
    assert (config.train.max_steps, config.validation.every_steps) == (5, 5)


def test_a_problem_of_the_file_is_not_laid_on_an_override(file: Path) -> None:
    text = BUDGET + "model:\n  width: 250\n  n_heads: 8\n"
    assert refusal(file, text, "model.dropout=0.2").startswith("c.yaml:4: model.width=250 ")


def test_overrides_change_what_the_file_says_in_any_order(file: Path) -> None:
    text = BUDGET + "  seed: 3\ndata: {columns: {fr: a, en: b}}\nsearch:\n"
    overrides = ["train.seed=4", "model.width=64", "data.columns.fr=c", "search.beam_size=2", "run.name=no"]
    config = accepted(file, text, *overrides)
    assert (config.train.seed, config.train.max_steps, config.model.width) == (4, 10, 64)
    assert config.data.columns == {"fr": "c", "en": "b"}
    assert (config.search.beam_size, config.run.name) == (2, "no")
    for order in itertools.permutations(overrides):
        assert load_config(file, order) == config
    assert load_config(file, overrides[1:]) != config


def test_of_two_overrides_of_one_key_the_last_counts(file: Path) -> None:
    assert accepted(file, BUDGET, "train.seed=x", "train.seed=5").train.seed == 5


def test_a_configuration_in_hand_takes_overrides(file: Path) -> None:
    config = accepted(file, BUDGET)
    changed = with_overrides(config, ["search.beam_size=2", "data.cache=no"])
    assert changed == load_config(file, ["search.beam_size=2", "data.cache=no"])
    assert with_overrides(config, []) == config != changed
    with pytest.raises(ConfigError) as caught:
        with_overrides(config, ["search.beam_sise=2"])
    assert str(caught.value) == (
        "override search.beam_sise=2: unknown key 'search.beam_sise'; did you mean 'beam_size'?"
    )


NOTICES = {
    "kernels": "hardware.kernels is now called hardware.backend; the old name still works",
    "workers": "hardware.workers is now called hardware.replicas; the old name still works",
}


@pytest.mark.parametrize(
    ("text", "overrides", "noticed"),
    [
        ("hardware: {kernels: c, workers: 2}\n", (), ("kernels", "workers")),
        ("hardware: {kernels: c, replicas: 2}\n", (), ("kernels",)),
        ("", ("hardware.workers=2", "hardware.kernels=c"), ("kernels", "workers")),
        ("hardware: {backend: torch, replicas: 3}\n", ("hardware.kernels=c", "hardware.workers=2"), NOTICES),
        ("hardware: {kernels: torch, workers: 3}\n", ("hardware.kernels=c", "hardware.workers=2"), NOTICES),
        ("hardware: {kernels: torch}\n", ("hardware.backend=native", "hardware.replicas=2"), ("kernels",)),
        ("", ("hardware.backend=torch", "hardware.kernels=c", "hardware.replicas=2"), ("kernels",)),
        ("hardware: {backend: native, replicas: 2}\n", (), ()),
    ],
)
def test_former_names_of_keys_work_and_one_notice_each_says_so(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, overrides: tuple[str, ...], noticed: list[str]
) -> None:
    config = accepted(file, BUDGET + text, *overrides)
    assert (config.hardware.backend, config.hardware.replicas) == ("native", 2)
    assert capsys.readouterr().err.splitlines() == [NOTICES[key] for key in noticed]
    assert "kernels" not in config.to_json()


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_other_values_of_a_former_name_are_what_they_were(file: Path, name: str) -> None:
    text = f"hardware: {{kernels: {name}, workers: null}}\n"
    config = accepted(file, BUDGET + text)
    assert (config.hardware.backend, config.hardware.replicas) == (name, None)


def test_a_wrong_value_of_a_former_name_is_shown_where_it_stands(file: Path) -> None:
    text = BUDGET + "hardware:\n  threads: 2\n  kernels: fortran\n"
    assert refusal(file, text).startswith(
        'c.yaml:5: hardware.backend="fortran" does not fit; allowed: auto, '
    )
    message = refusal(file, BUDGET, "hardware.workers=none")
    assert message.startswith('override hardware.workers=none: hardware.replicas="none" does not fit; ')
    for value in ("[1]", "{a: 1}"):
        assert refusal(file, BUDGET, f"hardware.kernels={value}").startswith("override hardware.kernels=")
    assert refusal(file, BUDGET + "hardware: 3\n").startswith("c.yaml:3: hardware=3 does not fit")


def test_a_configuration_in_hand_takes_former_names(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = accepted(file, BUDGET + "hardware: {backend: torch}\n")
    changed = with_overrides(config, ["hardware.kernels=c", "hardware.workers=3"])
    assert (changed.hardware.backend, changed.hardware.replicas) == ("native", 3)
    assert capsys.readouterr().err.splitlines() == list(NOTICES.values())


def test_what_was_saved_under_former_names_is_read_without_a_word(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '{"train": {"max_steps": 1}, "hardware": {"kernels": "c", "workers": 2, "threads": 4}}'
    file.write_text(text, encoding="utf-8")
    for config in (config_from_json(text, where="x"), load_config(file, saved=True)):
        assert (config.hardware.backend, config.hardware.replicas, config.hardware.threads) == (
            "native",
            2,
            4,
        )
    assert capsys.readouterr().err == ""


def test_a_configuration_is_frozen(file: Path) -> None:
    config = accepted(file, BUDGET)
    with pytest.raises(ValidationError, match="frozen"):
        config.train.seed = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        config.model = config.model  # type: ignore[misc]
    assert config.train.seed == 1


@pytest.mark.parametrize("strategy", ["ddp_notebook", "ddp_fork"])
def test_a_strategy_that_forks_is_refused(tmp_path: Path, strategy: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {format: phrasebook}\ntrain: {max_steps: 1}\n")
    with pytest.raises(ConfigError, match="forks a process that has threads, and hangs; use ddp"):
        load_config(path, [f"hardware.strategy={strategy}"])


@pytest.mark.parametrize("key", ["run.name", "run.root", "data.cache", "data.root"])
def test_a_nul_in_a_name_or_path_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {format: phrasebook}\ntrain: {max_steps: 1}\n")
    with pytest.raises(ConfigError, match=r"'a\\x00b' contains a NUL character"):
        load_config(path, [f'{key}="a\\0b"'])


TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.sampled_from("\t\n\r\x85\u2028\ufeff '\"\\:#-é😀"),
    ),
    min_size=1,
)


@pytest.mark.slow
@given(
    root=TEXT,
    cache=TEXT,
    dataset=st.one_of(
        TEXT,
        TEXT.map(lambda text: text * 100),
        st.sampled_from(
            ["no", "null", "~", "1e-3", "012", "0x1f", "true", ".nan", "2025-01-01", "a: b", "#"]
        ),
    ),
    rate=st.floats(min_value=1e-300, max_value=1e300),
    betas=st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)),
    minutes=st.one_of(st.none(), st.floats(0.001, 1e9)),
    columns=st.dictionaries(TEXT, st.one_of(TEXT, st.integers(1, 10**20))),
    devices=st.one_of(st.just("auto"), st.integers(1, 9)),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_yaml_and_json_round_trip(
    file: Path,
    root: str,
    cache: str,
    dataset: str,
    rate: float,
    betas: tuple[float, float],
    minutes: float | None,
    columns: dict[str, str | int],
    devices: int | str,
) -> None:
    data = {
        "data": {"root": root, "cache": cache, "format": "hub", "dataset": dataset, "columns": columns},
        "train": {"max_steps": 1, "max_minutes": minutes, "learning_rate": rate, "adam_betas": betas},
        "hardware": {"devices": devices},
    }
    config = config_from_json(json.dumps(data), where="x")
    assert (config.data.root, config.data.dataset, config.train.learning_rate) == (root, dataset, rate)
    assert config_from_json(config.to_json(), where="x") == config
    file.write_text(config_to_yaml(config), encoding="utf-8", newline="")
    assert load_config(file) == config


def test_the_round_trip_tells_configurations_apart(file: Path) -> None:
    one, other = accepted(file, BUDGET), accepted(file, BUDGET, "train.adam_betas=[0.9, 0.99]")
    assert config_from_json(one.to_json(), where="x") != other
    file.write_text(config_to_yaml(one), encoding="utf-8")
    assert load_config(file) != other


def test_what_was_saved_before_the_input_map_has_none(file: Path) -> None:
    file.write_text("train: {max_steps: 1}\n", encoding="utf-8")
    assert load_config(file).data.input_map == 1
    assert load_config(file, saved=True).data.input_map is None
    for text in ('{"train": {"max_steps": 1}}', '{"data": {}, "train": {"max_steps": 1}}'):
        assert config_from_json(text, where="x").data.input_map is None
    assert config_from_json(load_config(file).to_json(), where="x").data.input_map == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "config.json: not valid JSON: Expecting property name"),
        ("[" * 100_000, "config.json: not valid JSON: "),
        ('{"train": %s}' % ("9" * 5000), "config.json: not valid JSON: Exceeds the limit (4300 digits) for"),
        ("[]", "config.json: [] does not fit; allowed: a section with keys and values"),
        ('{"train": {"max_steps": 1.5}}', "config.json: train.max_steps=1.5 does not fit; allowed: a whole"),
        ('{"train": {"max_steps": 1}, "modl": 1}', "config.json: unknown key 'modl'; did you mean 'model'?"),
    ],
)
def test_damaged_json_names_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_from_json(text, where="config.json")
    assert str(caught.value).startswith(message)
    assert "set_int_max_str_digits" not in str(caught.value)  # Python's way to turn its limit off


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_configuration_of_the_repository_loads(path: Path, file: Path) -> None:
    config = load_config(path)
    assert config.data.source_language == "fr"
    file.write_text(config_to_yaml(config), encoding="utf-8")
    assert load_config(file) == config
    swapped = load_config(path, ["data.source_language=en", "data.target_language=fr"])
    assert (swapped.data.source_language, swapped.data.target_language) == ("en", "fr")


def test_there_are_configurations() -> None:
    assert ROOT / "configs/multi30k.yaml" in CONFIGS


def test_every_key_is_in_the_reference_with_words() -> None:
    rows = {key: (allowed, default, words) for key, allowed, default, words in field_reference()}
    sections = json.loads(Config(train={"max_steps": 1}).to_json())
    noise = sections["data"].pop("noise")
    keys = {f"{s}.{k}" for s, section in sections.items() for k in section}
    assert set(rows) == keys | {f"data.noise.{k}" for k in noise}
    assert [key for key, row in rows.items() if len(row[2]) < 8 or row[0] == "a value"] == []
    assert rows["model.dropout"] == (
        "a number ≥ 0 and < 1",
        "0.1",
        "Dropout on embeddings and on each sublayer's output.",
    )


def test_schema_words() -> None:
    assert describe_schema({"const": "auto"}) == "auto"
    assert describe_schema({"type": "integer", "minimum": 1, "maximum": 9}) == "a whole number ≥ 1 and ≤ 9"
    assert describe_schema({"anyOf": [{"type": "boolean"}, {"type": "null"}]}) == "true or false or null"


def test_the_schema_knows_every_section_and_forbids_others() -> None:
    schema = json.loads(json_schema())
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == list(Config.model_fields)
    for section in schema["properties"].values():
        name = section["$ref"].rsplit("/", 1)[1] if "$ref" in section else None
        assert name is not None
        assert schema["$defs"][name]["additionalProperties"] is False


def test_the_written_reference_is_current(tmp_path: Path) -> None:
    script = ROOT / "scripts/write_reference.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    functions = runpy.run_path(str(script))
    contents, out_of_date = functions["contents"](tmp_path), functions["out_of_date"]
    assert out_of_date(tmp_path) == list(contents)
    for path, text in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert out_of_date(tmp_path) == []
    (tmp_path / "configs/schema.json").write_text("{}\n")
    assert out_of_date(tmp_path) == [tmp_path / "configs/schema.json"]


def test_dropout_of_merges_needs_merges(tmp_path: Path) -> None:
    text = "train: {max_steps: 1}\ntokenizer: {kind: unigram, dropout: 0.1}\n"
    assert "tokenizer.dropout=0.1 needs tokenizer.kind=bpe, not unigram" in refusal(tmp_path / "c.yaml", text)


def test_a_rate_of_noise_is_named_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    for text, message in (
        ("accents: 1.5", "c.yaml:4: data.noise.accents=1.5 does not fit; allowed: a number ≥ 0 and ≤ 1"),
        ("acents: 0.5", "c.yaml:4: unknown key 'data.noise.acents'; did you mean 'accents'?"),
    ):
        assert message in refusal(path, f"train: {{max_steps: 1}}\ndata:\n  noise:\n    {text}\n")
    assert "data.noise=0.1 does not fit" in refusal(path, "train: {max_steps: 1}\ndata: {noise: 0.1}\n")


def test_comments_that_the_parser_cannot_keep_are_named(tmp_path: Path) -> None:
    """A value without its key between two comments makes ruamel raise NotImplementedError."""
    path = tmp_path / "c.yaml"
    path.write_text("model: # the shape\n  width:@ 128\n  \nheads: 4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"c\.yaml:1: this comment cannot be read here; remove or move it$"):
        load_config(path)
