"""Translation of blank, long and many texts, in any batch and from any thread."""

import json
import math
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from phrases import Trained

from translator import Translator
from translator.engine import native_library
from translator.errors import ModelError, UsageError
from translator.translation import decoders, parallel, splitting
from translator.translation.decoders import DecodingBackend
from translator.translation.origin import origin
from translator.translation.splitting import SplitSentences

pytest_plugins = ("trained",)
pytestmark = pytest.mark.usefixtures("one_thread")
needs_c = pytest.mark.skipif(
    native_library.load_library() is None, reason=f"no C operations: {native_library.problem()}"
)
BACKENDS = pytest.mark.parametrize("backend", [pytest.param("native", marks=needs_c), "torch"])


@pytest.fixture(scope="module")
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model)


@pytest.fixture(scope="module")
def sources(trained: Trained) -> list[str]:
    return [line for split in ("test.fr", "val.fr") for line in trained.lines(split)]


def test_blank_in_empty_out(translator: Translator) -> None:
    found = translator.translate(["", "  \t", "Le chat dort.", "\u00a0"])
    assert [bool(translation.text) for translation in found] == [False, False, True, False]
    assert [translation.n_parts for translation in found] == [0, 0, 1, 0]
    assert found[0].candidates == ()
    assert translator.translate([]) == []


def test_a_string_gives_one_translation_and_a_list_gives_a_list(translator: Translator) -> None:
    one = translator.translate("Le chat dort.")
    assert (one.source, [one]) == ("Le chat dort.", translator.translate(["Le chat dort."]))
    assert translator.translate("").text == ""
    more = translator.translate("Le chat dort.", n_best=2, beam_size=2, prefix="The")
    assert len(more.candidates) == 2


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        (None, "not NoneType"),
        (b"Le chat dort.", "not bytes"),
        (("Le chat dort.",), "not tuple"),
        ({"Le chat dort."}, "not set"),
        (iter(["Le chat dort."]), "not list_iterator"),
        (["Le chat dort.", None], "item 1 is NoneType"),
        ([b"Le chat dort."], "item 0 is bytes"),
    ],
)
def test_anything_else_is_a_type_error(translator: Translator, texts: Any, what: str) -> None:
    with pytest.raises(TypeError, match=f"^give a string or a list of strings[,;] {what}$"):
        translator.translate(texts)
    for given in ((texts, ["The cat."]), (["Le chat dort."], texts)):
        with pytest.raises(TypeError, match=f"{what}$"):
            translator.score(*given)


def test_a_string_has_one_score(translator: Translator) -> None:
    assert translator.score("Le chat dort.", "The cat.") == translator.score(["Le chat dort."], ["The cat."])
    with pytest.raises(ValueError, match="shorter"):
        translator.score(["Le chat dort.", "Oui."], "The cat.")


def test_a_translator_says_what_it_is(trained: Trained, translator: Translator) -> None:
    manifest = json.loads((trained.model / "manifest.json").read_text())
    bleu = manifest["scores"]["test"]["bleu"]["score"]
    n_weights = sum(weight.numel() for weight in translator.model.parameters())
    assert repr(translator) == (
        f"<Translator: fr → en, {n_weights:,} parameters, {len(translator.tokenizer)} pieces, "
        f"trained on corpus, BLEU {bleu:.1f} on test>"
    )
    assert origin(translator) == {
        "name": "phrases",
        "corpus": "corpus",
        "created": manifest["created"],
        "bleu": bleu,
    }
    other = Translator(translator.model, translator.tokenizer, translator.config)
    assert origin(other) == {"name": None, "corpus": "corpus", "created": None, "bleu": None}
    assert repr(other) == repr(translator).replace(f", BLEU {bleu:.1f} on test", "")


def test_white_space_around_a_text_changes_nothing(translator: Translator) -> None:
    plain, spaced = translator.translate(["Le chat dort.", "  Le chat dort. "])
    assert spaced == replace(plain, source="  Le chat dort. ")


@pytest.mark.parametrize("long", ["Le chat dort dans la maison. " * 30, "mot " * 90, "x" * 300])
def test_a_text_longer_than_the_model_takes_is_cut_and_joined(translator: Translator, long: str) -> None:
    limit = translator.config.model.max_length - 1
    assert len(translator.tokenizer.encode(long.strip())) > limit
    [found] = translator.translate([long])
    assert found.n_parts > 1
    assert found.text
    assert math.isfinite(found.score)


@pytest.fixture(scope="module")
def splitter(trained: Trained) -> Translator:
    return Translator.load(trained.model, split_sentences="always")


TWO = "Le chat dort. Où est la gare ?"


def test_the_sentences_of_a_line_are_translated_one_by_one(splitter: Translator) -> None:
    whole, first, second = splitter.translate([TWO, "Le chat dort.", "Où est la gare ?"])
    assert (whole.text, whole.n_parts) == (f"{first.text} {second.text}", 2)
    assert first.n_parts == second.n_parts == 1


def test_a_line_is_not_cut_unless_asked(trained: Trained, splitter: Translator) -> None:
    never = Translator.load(trained.model, split_sentences="never")
    [whole] = never.translate([TWO])
    assert whole.n_parts == 1
    assert whole.text != splitter.translate(TWO).text  # control: it matters
    # One best text for several sentences is no n-th best of theirs, and a prefix is of the whole line.
    assert splitter.translate([TWO], n_best=2) == never.translate([TWO], n_best=2)
    assert splitter.translate([TWO], prefix="The") == never.translate([TWO], prefix="The")


@pytest.mark.parametrize("way", ["always", "never"])
def test_a_line_break_separates_lines_and_a_tab_does_not(trained: Trained, way: SplitSentences) -> None:
    translator = Translator.load(trained.model, split_sentences=way)
    french = ["Le chat dort", "Où est la gare"]
    texts = [*french, f"{french[0]}\n\r\n{french[1]}\n", "Le\tchat dort", "Le chat dort"]
    cat, station, broken, tab, spaced = translator.translate(texts)
    assert broken.text == f"{cat.text}\n\n{station.text}"
    assert tab.candidates == spaced.candidates


@pytest.mark.parametrize(
    ("share", "way", "splits"),
    [
        (0.049, "auto", True),
        (0.05, "auto", False),
        (None, "auto", False),
        (0.0, "never", False),
        (1.0, "always", True),
        (None, "always", True),
    ],
)
def test_a_model_splits_what_it_did_not_learn_together(
    trained: Trained, tmp_path: Path, share: float | None, way: SplitSentences, splits: bool
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(trained.model, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["multi_sentence_share"] == 0  # the phrases are single sentences
    manifest["multi_sentence_share"] = share
    if share is None:  # as in folders of before
        del manifest["multi_sentence_share"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert Translator.load(folder, split_sentences=way).splits_sentences == splits


def test_a_record_that_is_no_number_is_none() -> None:
    assert not any(map(splitting.learnt_single_sentences, ["x", [0], None]))


@BACKENDS
def test_weights_that_overflow_give_one_error(trained: Trained, backend: DecodingBackend) -> None:
    translator = Translator.load(trained.model)
    with torch.no_grad():
        translator.model.decoder.norm.weight.fill_(3e38)
    broken = Translator(translator.model, translator.tokenizer, translator.config, backend=backend)
    for use in (
        lambda: broken.translate(["Le chat dort."]),
        lambda: broken.translate(["Le chat dort."], beam_size=1),
        lambda: broken.score(["Le chat dort."], ["The cat is sleeping."]),
    ):
        with pytest.raises(ModelError, match="scores are not finite"):
            use()


def test_another_way_to_split_is_refused(trained: Trained) -> None:
    with pytest.raises(UsageError, match="split_sentences 'no' is not one of auto, always, never"):
        Translator.load(trained.model, split_sentences="no")  # type: ignore[arg-type]


@needs_c
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_translation_does_not_depend_on_batch_size_order_or_threads(
    trained: Trained, sources: list[str], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit of its score, in C."""
    translator = Translator.load(trained.model, precision=precision)
    alone = [translator.translate(source) for source in sources]
    for batch_size in (1, 7, 64):
        assert translator.translate(sources, batch_size=batch_size) == alone
    order = random.Random(2).sample(range(len(sources)), len(sources))
    shuffled = translator.translate([sources[i] for i in order])
    assert shuffled == [alone[i] for i in order]
    assert len({translation.text for translation in alone}) > 1  # control: there was something to confuse
    monkeypatch.setattr(parallel, "SMALL_CHUNK", 2)
    torch.set_num_threads(3)  # `one_thread` puts it back
    assert translator.translate(sources) == alone
    assert torch.get_num_threads() == 3


def test_with_pytorch_company_changes_rounding_alone(trained: Trained, sources: list[str]) -> None:
    translator = Translator.load(trained.model, backend="torch")
    alone = [translator.translate(source) for source in sources]
    for batch_size in (7, 64):
        found = translator.translate(sources, batch_size=batch_size)
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-4)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_callers_may_use_a_translator_from_several_threads(
    trained: Trained, sources: list[str], backend: DecodingBackend
) -> None:
    translator = Translator.load(trained.model, backend=backend)
    alone = [translator.translate(source) for source in sources]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda source: translator.translate(source), sources))
    assert found == alone


@needs_c
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_lower_precision_translates_nearly_the_same(
    trained: Trained, translator: Translator, sources: list[str], precision: str
) -> None:
    other = Translator.load(trained.model, precision=precision)
    assert (translator.precision, other.precision) == ("float32", precision)
    pairs = list(zip(other.translate(sources), translator.translate(sources), strict=True))
    assert sum(a.text == b.text for a, b in pairs) >= 0.7 * len(pairs)
    assert all(a.score != b.score for a, b in pairs)  # control: it is another precision


def test_without_the_c_library_pytorch_decodes_in_float32_and_says_why(
    trained: Trained, translator: Translator, sources: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoders, "load_library", lambda: None)
    monkeypatch.setattr(decoders, "problem", lambda: "no compiler")
    for precision in ("float32", "bfloat16", "int8"):
        other = Translator.load(trained.model, precision=precision)
        assert (other.precision, other.why_not_native) == ("float32", "no compiler")
    found = other.translate(sources)
    expected = translator.translate(sources)
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
    wanted = Translator.load(trained.model, backend="torch")
    assert wanted.why_not_native is None  # it was asked for


def test_a_precision_that_is_not_there(trained: Trained) -> None:
    with pytest.raises(UsageError, match="precision 'int3' is not one of float32, bfloat16, int8"):
        Translator.load(trained.model, precision="int3")


def test_a_backend_that_is_not_there(trained: Trained) -> None:
    with pytest.raises(UsageError, match="backend 'abacus' is not one of auto, native, torch, reference"):
        Translator.load(trained.model, backend="abacus")
    assert Translator.load(trained.model, backend="reference", precision="int8").precision == "float32"


def test_candidates_are_sorted_and_different(translator: Translator) -> None:
    [found] = translator.translate(["Le chat dort dans la maison."], beam_size=4, n_best=4)
    scores = [candidate.score for candidate in found.candidates]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)
    assert found.text == found.candidates[0].text


@BACKENDS
def test_a_prefix_begins_every_translation(
    trained: Trained, sources: list[str], backend: DecodingBackend
) -> None:
    translator = Translator.load(trained.model, backend=backend)
    found = translator.translate(sources[:4], prefix="My sister")
    assert all(translation.text.startswith("My sister") for translation in found)
    free = translator.translate(sources[:4])
    assert not all(translation.text.startswith("My sister") for translation in free)  # control


def test_only_the_first_part_of_a_long_text_takes_the_prefix(translator: Translator) -> None:
    long = " ".join(["La reine dort sous le pont."] * 9)
    short, cut = translator.translate(["Le chat dort.", long], prefix="Zzz")
    assert cut.n_parts > 1
    assert short.text.startswith("Zzz")
    assert cut.text.startswith("Zzz")
    assert cut.text.count("Zzz") == 1
    # What comes after it is as without a prefix.
    parts = translator.translate([" ".join(["La reine dort sous le pont."] * 8)])[0].text
    assert cut.text.endswith(parts)


def test_a_device_that_is_not_there(trained: Trained) -> None:
    for device, message in (
        ("abacus", "device 'abacus' is not one of cpu, cuda, mps, xpu"),
        ("meta", "device 'meta' is not one of"),
        ("xpu", "device 'xpu' cannot be used: .*; try cpu"),
    ):
        with pytest.raises(UsageError, match=message):
            Translator.load(trained.model, device=device)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_best": 4}, "n-best 4 is above the beam size 3"),
        ({"n_best": 0}, "n-best 0 is below 1"),
        ({"beam_size": 0}, "beam size 0 is below 1"),
        ({"batch_size": 0}, "batch size 0 is below 1"),
        ({"prefix": "a\nb"}, "has a line break"),
        ({"prefix": "the cat " * 100}, r"the prefix has \d+ tokens; this model allows \d+"),
    ],
)
def test_options_that_do_not_go_together(
    translator: Translator, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        translator.translate(["Le chat dort."], **options)  # type: ignore[arg-type]


def test_the_search_s_score_is_the_forced_score_of_its_output(
    translator: Translator, sources: list[str]
) -> None:
    encoded = translator.tokenizer.encode_batch(sources)
    results = translator.search(encoded, translator.config.search)
    checked = 0
    for source, result in zip(sources, results, strict=True):
        best = result.hypotheses[0]
        text = translator.tokenizer.decode(best.ids)
        if translator.tokenizer.encode(text) == best.ids:  # else the text is cut into other pieces
            assert translator.score([source], [text]) == pytest.approx([best.log_prob], abs=1e-4)
            assert translator.score([source], [text + " Non."])[0] != pytest.approx(best.log_prob, abs=1e-2)
            checked += 1
    assert checked >= len(sources) // 2


def test_forced_scores_do_not_depend_on_the_batch(translator: Translator, trained: Trained) -> None:
    sources, targets = trained.lines("train.fr")[:40], trained.lines("train.en")[:40]
    assert translator.score(sources, targets, batch_size=1) == pytest.approx(
        translator.score(sources, targets, batch_size=40), abs=1e-4
    )


def test_blank_and_endless_lines_have_a_forced_score(translator: Translator) -> None:
    scores = translator.score(["", "Le chat.", "mot " * 200], ["", "word " * 200, ""])
    assert len(scores) == 3
    assert all(math.isfinite(score) and score < 0 for score in scores)


def test_native_does_not_do_without_c(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translator.engine.native_library.FOLDER", tmp_path)  # no library there
    with pytest.raises(UsageError, match=r"^backend 'native': the C operations were not built"):
        Translator.load(trained.model, backend="native")
    assert Translator.load(trained.model).why_not_native is not None
