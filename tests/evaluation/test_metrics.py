"""Scores are sacreBLEU's, with its signature and interval."""

import ast
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics.chrf import CHRF

from translator.errors import DataError
from translator.evaluation import metrics
from translator.evaluation.metrics import bleu, compare, corpus_scores

REFERENCES = [
    "The black cat is sleeping on the chair.",
    "It has been raining since this morning.",
    "Where is my old blue key?",
    "My sister lives in a small house in Lyon.",
    "He has lost his hat in the street, again.",
] * 4
GOOD = [line.replace("black", "old").replace("lost", "left") for line in REFERENCES]


def shuffled(lines: list[str]) -> list[str]:
    draw = random.Random(1)
    return [" ".join(draw.sample(line.split(), len(line.split()))) for line in lines]


def test_a_perfect_translation() -> None:
    scores = corpus_scores(REFERENCES, REFERENCES)
    assert scores["bleu"].score == pytest.approx(100)
    assert scores["chrf"].score == pytest.approx(100)
    assert scores["ter"].score == 0
    assert list(scores) == ["bleu", "chrf", "ter"]


def test_signatures_say_what_was_computed() -> None:
    scores = corpus_scores(GOOD, REFERENCES)
    for part in ("nrefs:1", "bs:1000", "seed:12345", "case:mixed", "tok:13a"):
        assert part in scores["bleu"].signature.split("|")
    assert "bs:1000" in scores["chrf"].signature
    assert "tok:tercom" in scores["ter"].signature
    for score in scores.values():
        assert score.low < score.score < score.high


def test_hypotheses_and_references_are_not_swapped() -> None:
    short = [line.split()[0] for line in REFERENCES]
    assert bleu(short, REFERENCES) < 0.01  # brevity penalty of the hypotheses
    assert bleu(short, REFERENCES) != bleu(REFERENCES, short)


def test_bleu_alone_is_the_same_bleu() -> None:
    assert bleu(GOOD, REFERENCES) == corpus_scores(GOOD, REFERENCES)["bleu"].score


def test_empty_translations_are_scored_not_refused() -> None:
    assert bleu([""] * len(REFERENCES), REFERENCES) == 0


def test_resamples_without_any_match_have_an_interval_too() -> None:
    """Some resamples of these score a Python 0.0 and others a NumPy number, which sacreBLEU cannot mix."""
    hypotheses, references = ["zz", "zz", "The cat"], ["ab", "cd", "The dog"]
    scores = corpus_scores(hypotheses, references)
    assert all(score.low <= score.score <= score.high for score in scores.values())
    assert all(type(number) is float for score in scores.values() for number in (score.score, score.low))
    # Control: sacreBLEU's own interval of one system fails.
    with pytest.raises(TypeError, match="don't know how to coerce"):
        CHRF().corpus_score(hypotheses, [references], n_bootstrap=1000)


def private_names(source: str) -> set[str]:
    names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("_")}


def test_nothing_private_of_sacrebleu_is_used_or_replaced() -> None:
    """The next release may name it otherwise."""
    assert private_names(Path(metrics.__file__).read_text(encoding="utf-8")) == set()
    # Control: once, the interval was cured so.
    assert private_names("metric._compute_score_from_stats = plain(result._mean)") == {
        "_compute_score_from_stats",
        "_mean",
    }


def test_a_single_metric_is_the_same_score_as_among_all() -> None:
    everything = corpus_scores(GOOD, REFERENCES)
    assert corpus_scores(GOOD, REFERENCES, metrics=("bleu",)) == {"bleu": everything["bleu"]}
    assert corpus_scores(GOOD, REFERENCES, metrics=("ter",)) == {"ter": everything["ter"]}


def test_each_translation_may_be_like_either_reference() -> None:
    """Half of the lines are the one reference, half the other: right by both, half right by either alone."""
    others = [line.split()[0] + " wholly different words here, no less." for line in REFERENCES]
    mixed = [pair[i % 2] for i, pair in enumerate(zip(REFERENCES, others, strict=True))]
    both, swapped = corpus_scores(mixed, REFERENCES, others), corpus_scores(mixed, others, REFERENCES)
    assert both["bleu"].score == pytest.approx(100)
    assert both["ter"].score == 0
    assert both["chrf"].score == pytest.approx(100)
    for name, score in both.items():
        assert score.low == pytest.approx(score.score) == score.high  # the interval is against both, too
        assert "nrefs:2" in score.signature
        assert swapped[name].score == score.score
    assert bleu(mixed, REFERENCES, others) == both["bleu"].score
    assert bleu(mixed, REFERENCES) < 70
    found = compare(mixed, REFERENCES, others, REFERENCES)
    assert found["bleu"].score == found["bleu"].other == pytest.approx(100)
    alone = compare(mixed, REFERENCES, others)  # the control
    assert alone["bleu"].score > alone["bleu"].other + 30


def test_a_set_of_references_that_is_too_short_is_named() -> None:
    message = "20 translations and 3 references in set 2 of 2"
    with pytest.raises(DataError, match=message):
        corpus_scores(GOOD, REFERENCES, REFERENCES[:3])
    with pytest.raises(DataError, match=message):
        compare(GOOD, GOOD, REFERENCES, REFERENCES[:3])


@pytest.mark.parametrize(("hypotheses", "message"), [(["a"], "1 translations and 20 references")])
def test_unequal_counts_name_both(hypotheses: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        corpus_scores(hypotheses, REFERENCES)


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="the test set has no lines"):
        bleu([], [])


def test_the_paired_test_tells_good_from_bad_and_not_same_from_same() -> None:
    found = compare(GOOD, shuffled(GOOD), REFERENCES)
    assert found["bleu"].score > found["bleu"].other
    assert found["bleu"].p_value < 0.05
    same = compare(GOOD, GOOD, REFERENCES)
    assert same["bleu"].score == same["bleu"].other
    assert same["bleu"].p_value == 1
    assert list(found) == ["bleu", "chrf", "ter"]
    for name, score in corpus_scores(GOOD, REFERENCES).items():
        assert found[name].score == pytest.approx(score.score)


@pytest.mark.slow
def test_the_sacrebleu_command_says_the_same(tmp_path: Path) -> None:
    bad = shuffled(GOOD)
    (tmp_path / "ref").write_text("\n".join(REFERENCES) + "\n", encoding="utf-8")
    (tmp_path / "hyp").write_text("\n".join(bad) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "ref", "-i", "hyp", "-m", "bleu", "chrf", "ter"]
    command += ["--confidence", "--format", "json", "-w", "8"]
    output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for theirs, ours in zip(json.loads(output), corpus_scores(bad, REFERENCES).values(), strict=True):
        assert ours.score == pytest.approx(theirs["score"], abs=1e-6)
        assert (ours.low + ours.high) / 2 == pytest.approx(theirs["confidence_mean"], abs=1e-5)
        assert (ours.high - ours.low) / 2 == pytest.approx(theirs["confidence_var"], abs=1e-5)
        assert ours.signature == theirs["signature"]
