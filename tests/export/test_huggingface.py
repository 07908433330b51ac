"""A model exported to Transformers reads, translates and comes back as ours does, without a network."""

import json
import random
import re
import shutil
import socket
import string
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
from phrases import Trained, environment
from tokenizers import Tokenizer as TheirTokenizer
from transformers import AutoTokenizer

import translator.export
from translator import Translator
from translator.cli import main
from translator.config import TokenizerConfig
from translator.data.input_map import map_input
from translator.data.tokenizer import Tokenizer
from translator.errors import ExportError
from translator.export import check as checking
from translator.export import from_huggingface, to_huggingface
from translator.export.check import Comparison, check
from translator.export.folder import export
from translator.export.to_huggingface import convert
from translator.export.tokenizer_json import tokenizer_json
from translator.model.positions import sinusoids
from translator.model_folder import CONFIG, MANIFEST, TOKENIZER, WEIGHTS, LoadedModel, load_model_folder
from translator.symbols import EOS

pytest_plugins = ("trained",)

Learnt = Callable[[str, str], Path]
Draw = Callable[[str, str], Translator]
FILES = ["README.md", "config.json", "generation_config.json", "model.safetensors", "passerelle.json"]
FILES += ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "export.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network is off")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


SPACES = (
    "’‘‛ʼ＇`´′“”«»…–—-\u00a0\u202f\u2009\u200b\u200c\u200d\u2060\ufeff\u00ad\u061c\u180e\u202a\u202e\u2066"
)
SPACES += "\u202a\u202e\u2066\t\n\r\x0b\x0c\x1c\x1f\x85\u2028\u2029\u3000\u1680"
EMOJI = "🐈👩👨👧❤\ufe0f🏳🌈☀⚽🇫🇷✌🏽\u200d"
MARKS = "\u0300\u0301\u0302\u0308\u0327\u0323\u20dd\u0345\u034f"
LIGATURES = "ﬁﬂﬃœæŒÆĳŉßẞǅǆ№½²ªº"
SCRIPTS = "漢字日本語한국어かなαβγσςΣΑΘЖИעבعرƏəŁłİıKΩÅ𝐀ℝⒶⓐ𐐀𐐨ꙀÞþ"
RESERVED = ["<s>", "</s>", "<pad>", "<unk>", "<capitals>", "<0x41>", "<0xE2>", "<0x0A>", "▁", "▁▁", "▁le"]
RESERVED += ["\ufdd0", "\ue000", "\0", "\1", "\x7f", "\ufffd", "\U0010ffff", "\U000e0041"]
WORDS = (
    "Le chat dort . L'été , l’homme aujourd'hui c'est 1234 3,50 € 10h30 d'eau Où ? BONJOUR LES AMIS".split()
)
BMP = [*range(1, 0x3000), *range(0xA000, 0xD800)]


def word(draw: random.Random) -> str:
    def some(characters: Sequence[str], most: int, least: int = 1) -> str:
        return "".join(draw.choices(characters, k=draw.randint(least, most)))

    kinds = [
        *[lambda: draw.choice(WORDS)] * 4,
        lambda: some(SPACES, 4),
        lambda: some(EMOJI, 5),
        lambda: "".join(c + some(MARKS, 3, 0) for c in some(string.ascii_letters + "éèàçù", 5)),
        lambda: draw.choice(LIGATURES) * draw.randint(1, 3),
        lambda: some(SCRIPTS, 6),
        lambda: draw.choice(RESERVED),
        lambda: some("0123456789.,", 8),
        lambda: chr(draw.choice(BMP)),
        lambda: "".join(chr(draw.randrange(0xE000, 0x110000)) for _ in range(draw.randint(1, 3))),
    ]
    return draw.choice(kinds)()


def nasty_lines(n_lines: int, seed: int = 1) -> list[str]:
    """Return lines of all that a tokenizer may stumble over."""
    draw = random.Random(seed)
    lines = ["", " ", "  ", "A", "a", "\n", "mot " * 3000, "e" + "\u0301" * 700]
    while len(lines) < n_lines:
        n_words = draw.choice([1, 1, 2, 3, 5, 8, 12, 12 if draw.random() < 0.99 else 400])
        line = draw.choice([" ", " ", " ", "", "  ", "\u00a0"]).join(word(draw) for _ in range(n_words))
        change = draw.choice([str.upper, str.upper, str.lower, lambda line: f" {line}  ", *[str] * 5])
        lines.append(change(line))
    return lines


def differing(tokenizer: Tokenizer, content: dict[str, object], lines: list[str], mapped: bool) -> list[str]:
    """Return the lines that have other ids, or whose ids have another text."""
    theirs = TheirTokenizer.from_str(json.dumps(content))
    theirs.encode_special_tokens = True
    ours = [tokenizer.encode(map_input(line) if mapped else line) for line in lines]
    encoded = [found.ids for found in theirs.encode_batch(lines)]
    texts = theirs.decode_batch(encoded)
    return [
        line
        for line, ids, found, text in zip(lines, ours, encoded, texts, strict=True)
        if [*ids, EOS] != found or tokenizer.decode(ids) != text
    ]


@pytest.fixture(scope="module")
def vocabularies(trained: Trained) -> dict[str, Tokenizer]:
    sentences = [*trained.lines("train.fr"), *trained.lines("train.en")]
    configs = {
        "bpe": TokenizerConfig(kind="bpe", vocabulary_size=400),
        "unigram": TokenizerConfig(kind="unigram", vocabulary_size=400),
        "bpe with digit pairs": TokenizerConfig(kind="bpe", vocabulary_size=500, digits_per_piece=2),
    }
    return {name: Tokenizer.train(sentences, config)[0] for name, config in configs.items()}


VOCABULARIES = ["bpe", "unigram", "bpe with digit pairs"]


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("mapped", [True, False])
def test_nasty_lines_have_our_ids(vocabularies: dict[str, Tokenizer], name: str, mapped: bool) -> None:
    tokenizer = vocabularies[name]
    lines = [line for line in nasty_lines(300) if mapped or "\n" not in line]
    content = tokenizer_json(tokenizer, kind=name.split()[0], input_map=mapped)
    assert differing(tokenizer, content, lines, mapped) == []
    # Controls: each of these breaks some of the lines.
    content["normalizer"]["normalizers"].pop()  # the last capital, 𞤡
    assert differing(tokenizer, content, ["\U0001e921"], mapped) != []
    content["normalizer"] = None
    assert len(differing(tokenizer, content, lines, mapped)) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", VOCABULARIES)
def test_ten_thousand_nasty_lines_have_our_ids(vocabularies: dict[str, Tokenizer], name: str) -> None:
    lines = nasty_lines(10_000, seed=2)
    tokenizer, kind = vocabularies[name], name.split()[0]
    assert sum(tokenizer.encode(map_input(line))[:1] == [4] for line in lines) > 1000, "texts in capitals"
    assert differing(tokenizer, tokenizer_json(tokenizer, kind=kind, input_map=True), lines, True) == []


def loaded(translator: Translator) -> LoadedModel:
    weights = {name: value.numpy() for name, value in translator.model.state_dict().items()}
    return LoadedModel(weights, translator.tokenizer, translator.config, {})


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu", "silu"])
def test_weights_that_nobody_trained(draw: Draw, tmp_path: Path, lines: list[str], activation: str) -> None:
    """No weight is near nought or one, and the positions are not Pegasus' own."""
    translator = draw("pre", activation)
    with torch.no_grad():  # the end symbol becomes more probable, in any state
        translator.model.embedding.weight[EOS] += 0.8 * translator.model.decoder.norm.bias
    translator = Translator(translator.model, translator.tokenizer, translator.config)
    engine = convert(tmp_path, loaded(translator))
    engine.check_tokenizer(translator, lines)
    found = check(translator, engine, lines)
    assert found.n_lines == 25
    assert [(c.beam_size, c.close_calls) for c in found.comparisons] == [(1, []), (5, [])]
    assert len(set(found.comparisons[1].at_limit)) < 15, "most outputs of the beam end by themselves"


@pytest.mark.slow
def test_the_same_translations_greedy_and_with_a_beam(
    trained: Trained, learnt: Learnt, tmp_path: Path
) -> None:
    translator = Translator.load(learnt("pre", "relu"))
    engine = convert(tmp_path, load_model_folder(learnt("pre", "relu")))
    lines = [*trained.lines("test.fr"), *trained.lines("val.fr"), *trained.lines("train.fr")[:30]]
    assert check(translator, engine, lines).comparisons == [Comparison(1, [], []), Comparison(5, [], [])]


def one_later(length: int, width: int, *, base: float) -> torch.Tensor:
    return sinusoids(length + 1, width, base=base)[1:].contiguous()


def theirs_alone(length: int, width: int, *, base: float) -> torch.Tensor:
    """The table that Pegasus would have made."""
    return sinusoids(length, width)


@pytest.mark.slow
@pytest.mark.parametrize("positions", [one_later, theirs_alone], ids=lambda wrong: wrong.__name__)
def test_other_positions_are_seen(
    draw: Draw, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch, positions: object
) -> None:
    """A control, as those below."""
    monkeypatch.setattr(to_huggingface, "sinusoids", positions)
    translator = draw("pre", "relu")
    with pytest.raises(ExportError, match=r"translations differ: line \d+ becomes"):
        check(translator, convert(tmp_path, loaded(translator)), lines)


@pytest.mark.slow
def test_other_keys_and_values_are_seen(
    draw: Draw, tmp_path: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = {"cross_attention.key_value": ("encoder_attn.v_proj", "encoder_attn.k_proj")}
    monkeypatch.setattr(from_huggingface, "NAMES", from_huggingface.NAMES | swapped)
    translator = draw("pre", "relu")
    with pytest.raises(ExportError, match=r"translations differ: line \d+ becomes"):
        check(translator, convert(tmp_path, loaded(translator)), lines)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [{"length_penalty": -3.0}, {"num_beams": 2}, {"early_stopping": False}])
def test_another_search_is_seen(
    draw: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: dict[str, object]
) -> None:
    translator = draw("pre", "relu")
    engine = convert(tmp_path, loaded(translator))
    sources = translator.tokenizer.encode_batch(["Le chat dort.", *WORDS])
    generate = engine._model.generate
    monkeypatch.setattr(engine._model, "generate", lambda **given: generate(**{**given, **setting}))
    outputs = checking.search_both(translator, engine, sources, 5)
    assert outputs[0] != outputs[1]


@pytest.mark.slow
def test_forbidden_pieces_never_come_out(draw: Draw, tmp_path: Path, lines: list[str]) -> None:
    """A model that would write nothing else is kept from it by both, in the same way."""
    translator = draw("pre", "relu")
    never = set(translator.tokenizer.never_emitted)
    with torch.no_grad():
        translator.model.embedding.weight[sorted(never)] *= 4
    translator = Translator(translator.model, translator.tokenizer, translator.config)
    engine = convert(tmp_path, loaded(translator))
    sources = [ids for _, ids in translator.cut(lines)]
    _, theirs = checking.search_both(translator, engine, sources, 1)
    assert check(translator, engine, lines).comparisons[0].close_calls == []
    assert never.isdisjoint(number for ids in theirs for number in ids)
    engine._model.generation_config.suppress_tokens = None
    _, free = checking.search_both(translator, engine, sources, 1)
    assert free != theirs, "the control"


@pytest.mark.slow
def test_another_tokenizer_is_seen(draw: Draw, tmp_path: Path) -> None:
    translator = draw("pre", "relu")
    engine = convert(tmp_path, loaded(translator))
    engine.check_tokenizer(translator, ["l’été", "L'ÉTÉ", ""])
    engine._tokenizer.backend_tokenizer.normalizer = None
    with pytest.raises(ExportError, match=r"tokenizer differs: line 2, \"L'ÉTÉ\", has the ids"):
        engine.check_tokenizer(translator, ["", "L'ÉTÉ"])


def test_a_model_that_pegasus_is_not(draw: Draw, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^model\.norm=post: .*; train with model\.norm=pre, or export"):
        convert(tmp_path, loaded(draw("post", "relu")))
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_pegasus_lacks(draw: Draw, tmp_path: Path) -> None:
    translator = draw("pre", "relu")
    translator.model.encoder.layers[0].feed_forward.gate = torch.nn.Linear(2, 2)
    whole = loaded(translator)
    whole.__dict__["model"] = translator.model  # where `cached_property` keeps it
    with pytest.raises(ExportError, match=r"^encoder\.layers\.0\.feed_forward\.gate\.weight: Transformers"):
        to_huggingface.write_model(tmp_path, whole)
    assert list(tmp_path.iterdir()) == []


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], list[str]]:
    """Run `translator`: exit code, lines of stdout, lines of stderr."""
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, arguments)])
    assert isinstance(stopped.value.code, int)
    said = capsys.readouterr()
    return stopped.value.code, said.out.splitlines(), said.err.splitlines()


@pytest.fixture(scope="module")
def exported_once(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    sides = [(trained.root / "corpus" / f"test.{x}").read_text("utf-8").splitlines() for x in ("fr", "en")]
    export(trained.model, folder, *sides, file_format="huggingface")
    return folder


@pytest.fixture
def exported(exported_once: Path, tmp_path: Path) -> Path:
    """What `translator export --format huggingface` writes of the trained model, to be changed."""
    return Path(shutil.copytree(exported_once, tmp_path / "out"))


@pytest.mark.slow
def test_the_command_says_what_is_the_same(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = trained.root / "corpus"
    given = ("--check", corpus / "test.fr", "--check-references", corpus / "test.en")
    arguments = ("export", tmp_path / "out", "--model", trained.model, "--format", "huggingface", *given)
    code, said, err = run(capsys, *arguments)
    assert (code, err) == (0, [])
    assert said[0].startswith("greedy: ")
    assert said[-1] == f"exported: {tmp_path / 'out'}"
    assert re.fullmatch(r"beam 5: \d+ of 10 lines identical, BLEU (\d+\.\d\d), exported \1", said[-2])


@pytest.mark.slow
def test_a_whole_folder(trained: Trained, exported: Path) -> None:
    assert sorted(path.name for path in exported.iterdir()) == FILES
    assert len({path.stat().st_mode for path in exported.iterdir()}) == 1
    model = load_model_folder(trained.model)
    generation = json.loads((exported / "generation_config.json").read_text())
    search = model.config.search
    assert (generation["num_beams"], generation["length_penalty"]) == (
        search.beam_size,
        search.length_penalty,
    )
    assert generation["early_stopping"] is True
    assert generation["max_length"] == model.config.model.max_length + 1
    assert generation["suppress_tokens"] == model.tokenizer.never_emitted
    tokenizer = AutoTokenizer.from_pretrained(exported)
    assert tokenizer("LE CHAT </s>")["input_ids"] == [*model.tokenizer.encode("LE CHAT </s>"), EOS]
    assert len(tokenizer) == len(model.tokenizer)
    assert json.loads((exported / "passerelle.json").read_text())["check"]["n_lines"] == 10


@pytest.mark.slow
def test_the_card_is_what_the_hub_reads(trained: Trained, exported: Path) -> None:
    card = huggingface_hub.ModelCard.load(exported / "README.md")
    scores = json.loads((trained.model / MANIFEST).read_text())["scores"]["test"]
    assert (card.data.language, card.data.license) == (["fr", "en"], "other")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "translation")
    [bleu, chrf, ter] = card.data.eval_results
    assert bleu.metric_value == round(scores["bleu"]["score"], 2)
    assert bleu.metric_args == {"signature": scores["bleu"]["signature"]}
    assert (bleu.task_type, chrf.metric_type, ter.metric_type) == ("translation", "chrf", "ter")
    assert scores["bleu"]["signature"] in card.text
    assert "name it here before publishing" in card.text


@pytest.mark.slow
def test_the_card_and_the_page_show_how_to_use_it(trained: Trained, exported: Path) -> None:
    texts = {"card": (exported / "README.md").read_text(encoding="utf-8"), "page": PAGE.split("\n## ")[1]}
    for text in texts.values():
        [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        code = re.sub(r'from_pretrained\(".+?"\)', 'from_pretrained("out")', example)
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=exported.parent,
            env={**environment(), "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
            capture_output=True,
            text=True,
            check=False,
        )
        [source] = re.findall(r'\["(.+?)"\]', example)
        assert (done.returncode, done.stdout) == (
            0,
            f"{[Translator.load(trained.model).translate([source])[0].text]}\n",
        ), done.stderr


@pytest.mark.slow
def test_back_again_with_the_same_weights(
    trained: Trained, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said, err = run(capsys, "import-model", exported, "--output", tmp_path / "back")
    assert (code, err) == (0, [])
    assert said == [f"imported: {tmp_path / 'back'}, with the weights that were exported"]
    for name in (WEIGHTS, TOKENIZER):
        assert (tmp_path / "back" / name).read_bytes() == (trained.model / name).read_bytes()
    before, after = (load_model_folder(folder) for folder in (trained.model, tmp_path / "back"))
    assert before.config == after.config
    assert before.manifest["scores"] == after.manifest["scores"]
    assert before.manifest["created"] == after.manifest["created"]
    assert (trained.model / CONFIG).read_bytes() == (tmp_path / "back" / CONFIG).read_bytes()


def change(folder: Path, name: str, by: Callable[[torch.Tensor], torch.Tensor]) -> None:
    weights = safetensors.torch.load_file(folder / WEIGHTS)
    weights[name] = by(weights[name])
    safetensors.torch.save_file(weights, folder / WEIGHTS, {"format": "pt"})


@pytest.mark.slow
def test_back_again_with_weights_that_were_trained_further(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(exported, "model.decoder.layers.0.encoder_attn.v_proj.weight", lambda value: value + 1)
    code, said, _ = run(capsys, "import-model", exported, "--output", tmp_path / "back")
    assert code == 0
    assert said[0].endswith("with other weights than were exported, so without scores")
    model = load_model_folder(tmp_path / "back")
    assert {"scores", "heads", "confidence"}.isdisjoint(model.manifest)
    before = load_model_folder(tmp_path / "back").weights["decoder.layers.0.cross_attention.key_value.weight"]
    assert before[before.shape[1] :].mean() > 0.9
    assert abs(before[: before.shape[1]].mean()) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "by", "said"),
    [
        ("model.encoder.embed_positions.weight", lambda value: value + 1e-3, "was trained; ours are fixed"),
        ("final_logits_bias", lambda value: value + 1, "final_logits_bias is not zero"),
        ("model.shared.weight", lambda value: value[1:], r"model\.shared\.weight are \(\d+, \d+\), not \("),
        ("model.decoder.layer_norm.bias", lambda value: value * torch.nan, "values that are not finite"),
    ],
)
def test_other_weights_than_ours_are_refused(
    exported: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    by: Callable[[torch.Tensor], torch.Tensor],
    said: str,
) -> None:
    change(exported, name, by)
    code, out, err = run(capsys, "import-model", exported, "--output", tmp_path / "back")
    assert (code, out, len(err)) == (1, [], 1)
    assert re.search(said, err[0])
    assert not (tmp_path / "back").exists()


@pytest.mark.slow
def test_what_cannot_be_imported(
    trained: Trained, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(folder: Path, output: Path = tmp_path / "back") -> str:
        code, _, err = run(capsys, "import-model", folder, "--output", output)
        assert (code, len(err)) == (1, 1)
        return err[0]

    assert "copy it and tokenizer.model from the exported folder" in refusal(trained.model)
    assert "exists already" in refusal(exported, exported)
    (exported / WEIGHTS).write_bytes((trained.model / WEIGHTS).read_bytes())
    assert "there is no model.shared.weight" in refusal(exported)
    (exported / "passerelle.json").write_text("{}")
    assert "damaged" in refusal(exported)


def test_without_transformers(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "translator.export.to_huggingface")
    monkeypatch.delattr(translator.export, "to_huggingface")
    arguments = ("export", tmp_path / "out", "--model", trained.model, "--format", "huggingface")
    code, _, err = run(capsys, *arguments)
    assert (code, len(err)) == (1, 1)
    assert err[0].endswith("install it: pip install 'passerelle[huggingface]'")
