"""The phrasebook: deterministic, with disjoint splits, all words of the lexicon, and valid alignments."""

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from translator.alignment.words import words
from translator.data import phrasebook
from translator.data.phrasebook import lexicon, splits
from translator.data.phrasebook.french import starts_with_vowel

#: The whole corpus takes half a minute to make on a slow core.
pytestmark = pytest.mark.slow

DIGEST_SCRIPT = """
import hashlib
import importlib.util
from translator.data import phrasebook
text = "".join(f"{p['fr']}\\t{p['en']}\\n" for s in phrasebook.SPLITS for p in phrasebook.pairs(s))
print(hashlib.blake2b(text.encode()).hexdigest())
"""
#: Names of the constructions that the grammar must generate.
ASKED_FOR = """
    definite indefinite partitive demonstrative possessive number quantity general_article pas_de
    adjective_before adjective_after possession_with_de
    present passé_composé passé_composé_with_être imparfait futur futur_proche conditionnel imperative
    reflexive passé_récent en_train
    pas jamais plus rien rien_as_subject personne personne_as_subject que pas_encore
    pronoun_me_te_nous_vous pronoun_le_la_les pronoun_lui_leur two_pronouns en en_with_a_number y
    pronoun_before_infinitive
    est-ce_que inversion intonation où quand pourquoi comment combien_de quel qui_as_subject à_qui,_avec_qui
    modal infinitive il_faut
""".split()


# Slow results are computed by the first test that needs them, and not during collection.


@cache
def corpus() -> dict[str, list[dict[str, str]]]:
    return {split: list(phrasebook.pairs(split)) for split in phrasebook.SPLITS}


@cache
def everything() -> list[dict[str, str]]:
    return [pair for pairs in corpus().values() for pair in pairs]


@cache
def examples() -> list[splits.Example]:
    return [example for several in splits.generated().values() for example in several]


@cache
def grammatical() -> list[splits.Example]:
    """Return the sentences of the grammar in the splits, and 50,000 more, since the splits have few."""
    return [e for e in examples() if e.origin == "grammar"] + list(
        islice(splits.from_grammar(seed=3), 50_000)
    )


@cache
def french() -> str:
    return "\n".join(example.sentence.fr for example in grammatical())


@cache
def vocabulary(language: str) -> frozenset[str]:
    return frozenset(word.lower() for pair in corpus()["train"] for word in words(pair[language]))


def digest() -> str:
    lines = (f"{p['fr']}\t{p['en']}\n" for s in phrasebook.SPLITS for p in phrasebook.pairs(s))
    return hashlib.blake2b("".join(lines).encode()).hexdigest()


def hits(pattern: str) -> list[str]:
    return [match[0] for match in re.finditer(pattern, french(), re.IGNORECASE)]


def test_data_readme_has_the_size_and_the_fingerprints() -> None:
    readme = (Path(__file__).resolve().parents[2] / "data/README.md").read_text(encoding="utf-8")
    assert f"| {len(corpus()['train']):,} train, 2,000 val" in readme
    written = dict(
        reversed(line.split("  phrasebook ")) for line in readme.split("\n") if "  phrasebook " in line
    )
    texts = {
        f"{split}.{side}": [pair[side] for pair in pairs]
        for split, pairs in corpus().items()
        for side in ("fr", "en")
    }
    texts |= {
        f"{split}.en2": phrasebook.second_references(split) or [] for split in ("challenge", "everyday")
    }
    assert written == {
        name: hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
        for name, lines in texts.items()
    }


def test_text_is_the_same_in_another_process_with_another_hash_seed() -> None:
    environment = os.environ | {
        "PYTHONHASHSEED": "4321",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-c", DIGEST_SCRIPT]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.strip() == digest()


def test_split_sizes() -> None:
    sizes = {split: len(pairs) for split, pairs in corpus().items()}
    assert sizes["train"] >= 40_000
    assert (sizes["val"], sizes["test"], sizes["test_compositional"]) == (2000, 2000, 1000)
    assert (sizes["challenge"], sizes["everyday"]) == (300, 300)


def test_each_source_has_its_share_of_training_and_of_what_is_held_out() -> None:
    shares = {s: Counter(e.origin for e in splits.generated()[s]) for s in ("train", "val", "test")}
    assert dict(shares["val"]) == dict(shares["test"]) == splits.N_HELD_OUT
    assert shares["train"]["sentences"] >= 15_000 - 2 * splits.N_HELD_OUT["sentences"]
    assert shares["train"]["patterns"] == splits.N_PATTERNS + splits.N_COPYING
    assert shares["train"]["grammar"] == splits.N_GRAMMAR
    assert shares["train"]["invented names"] == splits.N_NAMED


def test_changing_a_pair_leaves_the_corpus_alone() -> None:
    next(phrasebook.pairs("val"))["fr"] = "?"
    assert next(phrasebook.pairs("val")) == corpus()["val"][0]


def test_no_french_sentence_occurs_twice_in_the_generated_splits() -> None:
    assert len({e.sentence.fr for e in examples()}) == len(examples())


@pytest.mark.parametrize("split", phrasebook.BY_HAND)
def test_what_people_wrote_has_no_sentence_twice(split: str) -> None:
    written = [pair["fr"] for pair in corpus()[split]]
    assert len(set(written)) == len(written)


@pytest.mark.parametrize("split", phrasebook.BY_HAND)
def test_what_people_wrote_has_a_second_translation_of_each_line(split: str) -> None:
    second = phrasebook.second_references(split)
    assert second is not None
    pairs = corpus()[split]
    assert len(second) == len(pairs)
    assert all(line.strip() == line != "" for line in second)
    assert sum(line != pair["en"] for line, pair in zip(second, pairs, strict=True)) > len(pairs) / 2
    assert phrasebook.second_references("test") is None


def test_tables_of_three_columns_are_read_with_quotes_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = 'fr\ten\ten2\nUn "thé" ?\tA "tea"?\tSome "tea"?\nOui.\tYes.\tYep.\n'
    (tmp_path / "everyday.tsv").write_text(table, encoding="utf-8")
    monkeypatch.setattr(splits, "TABLES", tmp_path)
    assert list(phrasebook.pairs("everyday")) == [
        {"fr": 'Un "thé" ?', "en": 'A "tea"?'},
        {"fr": "Oui.", "en": "Yes."},
    ]
    assert phrasebook.second_references("everyday") == ['Some "tea"?', "Yep."]


def test_one_french_sentence_has_one_english() -> None:
    for several in (examples(), grammatical()):  # the splits; the grammar with what another seed would draw
        english = defaultdict(set)
        for example in several:
            english[example.sentence.fr].add(example.sentence.en)
        assert {fr: en for fr, en in english.items() if len(en) > 1} == {}


def test_every_construction_is_there() -> None:
    counts = Counter(name for e in grammatical() for name in e.constructions)
    assert {n: counts[n] for n in (name.replace("_", " ") for name in ASKED_FOR) if counts[n] < 25} == {}


def test_masculine_forms_before_a_vowel_are_there() -> None:
    said = [
        word for pair in corpus()["train"] for word in re.findall(r"\b(?:bel|nouvel|vieil) \w", pair["fr"])
    ]
    assert min(Counter(said_as.split()[0] for said_as in said).values()) >= 25


def test_every_point_is_shown_by_fifty_pairs() -> None:
    counts = Counter(name for e in splits.generated()["train"] for name in e.constructions)
    points = [row["point"] for row in lexicon.rows("points")]
    assert len(points) == 199
    forms = {"192", "195", "196", "197"}  # of spelling: data.noise and the input map
    assert {p: counts[f"point {p}"] for p in points if p not in forms and counts[f"point {p}"] < 50} == {}


def test_at_most_three_lines_in_a_hundred_hold_two_sentences() -> None:
    train = corpus()["train"]
    several = [pair for pair in train if re.search(r"[.?!…] (?=[A-ZÀÂÇÉÈÊÎÔŒ])", pair["fr"])]
    assert 0 < len(several) / len(train) <= 0.03


def test_every_lemma_is_used_in_training() -> None:
    text = "\n".join(pair["fr"] for pair in corpus()["train"]).lower()
    stream = " ".join(words(text))
    loaded = lexicon.load()
    forms = defaultdict[tuple[str, str], list[str]](list)
    for noun in loaded.nouns:
        forms["noun", noun.lemma] += filter(None, noun.fr)  # in both genders
    forms |= {("adjective", a.lemma): list(a.forms) for a in loaded.adjectives}
    for verb in loaded.verbs:
        conjugated = verb.forms
        forms["verb", verb.lemma] = [
            conjugated.infinitive,
            conjugated.participle,
            *(*conjugated.present, *conjugated.imperfect, *conjugated.future, *conjugated.conditional),
        ]
    for entry in (*loaded.adverbs, *loaded.times, *loaded.names):
        forms["entry", entry.fr] = [entry.fr]
    bag = f" {stream} "
    unused = [
        lemma
        for lemma, several in forms.items()
        if not any(f" {' '.join(words(form.removeprefix('*').lower()))} " in bag for form in several)
    ]
    assert unused == []


@pytest.mark.parametrize("split", ["val", "test", "test_compositional"])
@pytest.mark.parametrize("language", phrasebook.LANGUAGES)
def test_held_out_words_occur_in_training(split: str, language: str) -> None:
    held_out = Counter(word.lower() for pair in corpus()[split] for word in words(pair[language]))
    unknown = sum(count for word, count in held_out.items() if word not in vocabulary(language))
    assert unknown / held_out.total() < 0.02  # a rare form of a known word, or a name


def test_parts_of_compositional_sentences_meet_only_there() -> None:
    met = {
        pair
        for split in ("train", "val", "test")
        for e in splits.generated()[split]
        for pair in e.combinations
    }
    parts = {part for e in splits.generated()["train"] for pair in e.combinations for part in pair}
    for example in splits.generated()["test_compositional"]:
        new = {pair for pair in example.combinations if splits.kept_back(*pair)}
        assert new, example
        assert not new & met
        assert {part for pair in new for part in pair} <= parts


def test_links_fit_the_words() -> None:
    """The final marks of every pair are linked, which reveals a missing or additional word on either side."""
    for sentence in (e.sentence for e in examples() if e.origin in ("patterns", "grammar")):
        last = (len(words(sentence.fr)) - 1, len(words(sentence.en)) - 1)
        assert sentence.links[-1] == last, sentence
        assert len(set(sentence.links)) == len(sentence.links)


def test_nearly_every_word_is_linked() -> None:
    counts = Counter[str]()
    for sentence in (e.sentence for e in examples() if e.origin in ("patterns", "grammar")):
        counts["fr"] += len(words(sentence.fr))
        counts["en"] += len(words(sentence.en))
        counts["linked fr"] += len({i for i, _ in sentence.links})
        counts["linked en"] += len({j for _, j in sentence.links})
    assert counts["linked fr"] / counts["fr"] > 0.95
    assert counts["linked en"] / counts["en"] > 0.95


def test_alignments_are_in_the_order_of_the_pairs() -> None:
    lines = list(phrasebook.alignments("test"))
    assert len(lines) == len(corpus()["test"])
    assert all(re.fullmatch(r"(\d+-\d+( \d+-\d+)*)?", line) for line in lines)
    assert [bool(line) for line in lines] == [e.origin != "sentences" for e in splits.generated()["test"]]


@pytest.mark.parametrize("language", phrasebook.LANGUAGES)
def test_sentences_are_tidy(language: str) -> None:
    mark = r"(?:\.| [?!])" if language == "fr" else "[.?!]"
    sentence = rf"[A-ZÀÂÇÉÈÊÎÔŒ][\w'-]*(?:,? [\w'-]+)*{mark}"
    tidy = re.compile(rf"{sentence}(?: {sentence})*")
    texts = [e.sentence[phrasebook.LANGUAGES.index(language)] for e in examples() if e.origin == "grammar"]
    assert [text for text in texts if not tidy.fullmatch(text)] == []


def test_both_languages_end_in_the_same_mark() -> None:
    """Quotation marks around the final mark are ignored: « surprise ». and "surprise." """
    marks = [
        [re.findall(r"[.?!…]", pair[language])[-1:] for language in phrasebook.LANGUAGES]
        for pair in everything()
    ]
    assert [pair for pair, (fr, en) in zip(everything(), marks, strict=True) if fr != en or not fr] == []


def test_short_words_are_elided_before_a_vowel() -> None:
    refuse = "|".join(n.fr[0][1:5] for n in lexicon.load().nouns if n.fr[0].startswith("*"))
    vowel = rf"(?!{refuse}|onz|huit|oui)[aeiouhàâéèêîôœ]"
    assert hits(rf"(?<![-\w])(?:le|la|je|me|te|se|ne|de|que) {vowel}\w*") == []
    assert {m.lower() for m in hits(r"\b(?:l|d|qu|j|n|c|s|m|t)'")} == {
        "l'", "d'", "qu'", "j'", "n'", "s'", "m'", "t'",
    }  # fmt: skip


def test_nothing_is_elided_before_a_consonant_or_a_sounded_h() -> None:
    sounded = "|".join(n.fr[0][1:] for n in lexicon.load().nouns if n.fr[0].startswith("*"))
    assert hits(rf"\b(?:l|d|j|n|c|qu)'(?:(?:{sounded})\b|[^aeiouyhàâéèêîôœ])\w*") == []
    assert hits(rf"\b(?:cet|bel|nouvel|vieil) (?:(?:{sounded})\b|[^aeiouyhàâéèêîôœ])\w*") == []
    assert (
        hits(r"\b(?:un|le|ce|mon|notre) (?:vieux|beau|nouveau) (?=[aeiouéèêîôœ])(?!et\b|à\b|en\b)\w+") == []
    )
    assert hits(rf"\b(?:le|la|ce|du|au) (?:{sounded})\b") != []
    assert all(map(starts_with_vowel, ("hier", "yeux")))
    assert not any(map(starts_with_vowel, ("Youssef", "Hralle")))


def test_participle_after_etre_agrees_with_the_subject() -> None:
    verb = "all|arriv|entr|mont|pass|rentr|rest|retourn|tomb"
    clause = (
        rf"(?<![\w'])(ils|elles|elle|il) (?:ne |n')?(?:y )?(est|sont)(?: pas| jamais)? (?:{verb})(ée?s?)\b"
    )
    found = {" ".join(groups) for groups in re.findall(clause, french().lower())}
    assert found == {"il est é", "elle est ée", "ils sont és", "elles sont ées"}


def test_prepositions_contract_with_the_article() -> None:
    assert hits(r"(?<!\w)(?:à|de) les? (?!\w+(?:er|ir|re)\b)\w+") == []
    assert hits(r"\b(?:au|du|aux) \w+") != []


def test_english_article_fits_the_next_sound() -> None:
    english = "\n".join(e.sentence.en for e in examples() if e.origin == "grammar")
    wrong = re.findall(r"\b(?:a [aeio]\w*|an [^aeiouh]\w*)", english, re.IGNORECASE)
    assert [w for w in wrong if not re.match(r"a (?:eu|one|once)", w, re.IGNORECASE)] == []


def _script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts" / "write_phrasebook.py"
    spec = importlib.util.spec_from_file_location("write_phrasebook", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_script_writes_each_split_with_its_words_and_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = _script()
    monkeypatch.setattr(sys, "argv", ["write_phrasebook.py", str(tmp_path)])
    assert script.main() == 0
    test = {
        name: (tmp_path / f"test.{name}").read_text(encoding="utf-8").splitlines() for name in ("fr", "en")
    }
    assert [{"fr": f, "en": e} for f, e in zip(test["fr"], test["en"], strict=True)] == corpus()["test"]
    links = list(phrasebook.alignments("test"))
    split_words = (tmp_path / "test.words.fr").read_text(encoding="utf-8").splitlines()
    aligned = [line for line, link in zip(test["fr"], links, strict=True) if link]
    assert split_words == [" ".join(words(line)) for line in aligned]
    assert (tmp_path / "test.links").read_text().splitlines() == list(filter(None, links))
    assert len((tmp_path / "everyday.en2").read_text(encoding="utf-8").splitlines()) == 300
    assert len((tmp_path / "challenge.fr").read_text(encoding="utf-8").splitlines()) == 300
    (tmp_path / "test.fr").write_text("mine\n")
    assert script.main() == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}")
    assert (tmp_path / "test.fr").read_text() == "mine\n"


def test_script_prints_samples_of_each_construction(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["write_phrasebook.py", "--samples"])
    assert _script().main() == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line for line in lines if not line.startswith("    ")]
    assert {name.replace("_", " ") for name in ASKED_FOR} <= set(names)
    assert len(lines) <= 6 * len(names)
