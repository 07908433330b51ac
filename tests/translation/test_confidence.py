"""The calibrated confidence in a translation: its fit, its threshold, and where it is shown."""

import dataclasses
import json
import math
import random
from pathlib import Path

import pytest
from phrases import Trained, run_command

from translator.evaluation.metrics import sentence_chrf
from translator.explain import explain, to_json
from translator.model_folder import load_model_folder
from translator.translation.calibration import MIN_LINES, calibrate, report
from translator.translation.confidence import Calibration, Confidence
from translator.translation.evaluator import evaluate
from translator.translation.inference import Translator
from translator.translation.joining import Translation
from translator.translation.language import looks_like

pytest_plugins = ("trained",)

CALIBRATION = Calibration(3.0, -6.0, 0.5, 0.6, 60.0, 100, 0.02)
LINE = "Ma sœur ne mange pas dans la maison."


def synthetic(n: int, *, seed: int = 1) -> tuple[list[Translation], list[float]]:
    """Translations whose chrF is 100 with the probability that `CALIBRATION` gives them, and else 20."""
    generator = random.Random(seed)
    translations, chrf = [], []
    for _ in range(n):
        n_tokens = generator.randint(3, 30)
        log_prob = -n_tokens * generator.random() ** 2
        is_good = generator.random() < CALIBRATION.probability(log_prob, n_tokens)
        translations.append(Translation("a", "b", 0.0, (), 1, ((log_prob, n_tokens),)))
        chrf.append(100.0 if is_good else 20.0)
    return translations, chrf


@pytest.fixture(scope="module")
def calibrated(trained: Trained) -> Translator:
    loaded = load_model_folder(trained.model)
    manifest = loaded.manifest | {"confidence": dataclasses.asdict(CALIBRATION)}
    return Translator(loaded, loaded.tokenizer, loaded.config, manifest=manifest)


def test_the_fit_finds_the_probabilities_from_which_lines_were_drawn() -> None:
    translations, chrf = synthetic(20_000)
    found = calibrate(translations, chrf)
    assert found is not None
    for log_prob, n_tokens in ((-0.1, 5), (-3.0, 10), (-6.0, 8), (-25.0, 30)):
        true = CALIBRATION.probability(log_prob, n_tokens)
        assert found.probability(log_prob, n_tokens) == pytest.approx(true, abs=0.02)
    assert found.error < 0.02
    assert found.n_lines == 20_000
    # Control: labels that do not depend on the log-probability give other probabilities.
    shuffled = calibrate(translations, random.Random(2).sample(chrf, len(chrf)))
    assert shuffled is not None
    assert abs(shuffled.probability(-0.1, 5) - found.probability(-0.1, 5)) > 0.1


def test_the_threshold_calls_a_tenth_of_the_clearly_good_lines_guesses() -> None:
    translations, chrf = synthetic(2000)
    found = calibrate(translations, chrf)
    assert found is not None
    confidences = [found.of_lines(translation.line_log_probs) for translation in translations]
    measured = report(confidences, chrf)
    assert measured is not None
    assert 0.09 < measured.flagged_good <= 0.1
    assert measured.flagged_bad > 0.3
    assert measured.error == pytest.approx(found.error)
    assert (measured.n_bad, measured.n_good) == (chrf.count(20.0), chrf.count(100.0))
    assert sum(n for *_, n in measured.bins) == 2000


def test_too_few_good_or_bad_lines_give_no_calibration() -> None:
    translations, _ = synthetic(200)
    for n_bad, has_one in ((MIN_LINES - 1, False), (MIN_LINES, True), (200 - MIN_LINES + 1, False)):
        chrf = [20.0] * n_bad + [100.0] * (200 - n_bad)
        assert (calibrate(translations, chrf) is not None) == has_one
    middling = [20.0] * 100 + [70.0] * 100  # good, but not clearly
    assert calibrate(translations, middling) is None


def test_the_calibration_error_of_a_hand_made_case() -> None:
    confidences = [Confidence(p, p < 0.5, 60.0) for p in (0.05, 0.05, 0.95, 0.95, 1.0)]
    measured = report([*confidences, None], [10.0, 90.0, 90.0, 70.0, 10.0, 50.0])
    assert measured is not None
    low, high = (0.05, 0.5, 2), (2.9 / 3, 2 / 3, 3)
    assert measured.bins == [pytest.approx(low), pytest.approx(high)]
    assert measured.error == pytest.approx((2 * 0.45 + 3 * 0.3) / 5)
    assert (measured.flagged_bad, measured.flagged_good) == (0.5, 0.5)
    assert report([None], [50.0]) is None


def test_a_manifest_without_a_calibration_or_with_another_has_none() -> None:
    facts = dataclasses.asdict(CALIBRATION)
    assert Calibration.from_manifest({"confidence": facts}) == CALIBRATION
    others: list[object] = [None, [], {}, facts | {"more": 1.0}, facts | {"bias": "high"}]
    for other in others:
        assert Calibration.from_manifest({"confidence": other}) is None
    assert Calibration.from_manifest({}) is None


def test_extreme_log_probabilities() -> None:
    assert CALIBRATION.probability(-math.inf, 3) == 0.0
    assert 0 < CALIBRATION.probability(0.0, 1) < 1
    assert CALIBRATION.probability(1e-9, 1) == CALIBRATION.probability(0.0, 1)  # rounding above 0


def test_a_text_has_the_confidence_of_its_least_probable_line(calibrated: Translator) -> None:
    lines = [LINE, "Zzz qwrt !", "Le chat dort."]
    alone = calibrated.translate(lines)
    together = calibrated.translate("\n".join([lines[0], "", *lines[1:]]))
    assert together.line_log_probs == tuple(of_line for each in alone for of_line in each.line_log_probs)
    probabilities = [each.confidence.probability for each in alone if each.confidence]
    assert len(set(probabilities)) == 3
    assert together.confidence is not None
    assert together.confidence.probability == min(probabilities)
    assert calibrated.translate(" ").confidence is None
    [(log_prob, n_tokens)] = alone[0].line_log_probs
    alpha = calibrated.config.search.length_penalty
    assert alone[0].score == pytest.approx(log_prob / n_tokens**alpha)


def test_a_model_without_a_calibration_shows_no_confidence(trained: Trained, calibrated: Translator) -> None:
    plain = Translator.load(trained.model)
    assert plain.calibration is None, "the test corpus has too few lines"
    assert plain.translate(LINE).confidence is None
    assert evaluate(plain, [LINE], [LINE]).confidence is None
    assert to_json(explain(plain, LINE))["confidence"] is None


def test_evaluation_says_how_well_confidence_agrees_with_chrf(calibrated: Translator) -> None:
    sources, references = [LINE, "Le chat dort."], ["My sister does not eat in the house.", "xyz"]
    found = evaluate(calibrated, sources, references)
    hypotheses = [each.text for each in calibrated.translate(sources)]
    confidences = [each.confidence for each in calibrated.translate(sources)]
    assert found.confidence == report(confidences, sentence_chrf(hypotheses, references))
    assert found.lines("test")[-1].startswith("confidence: calibration error 0.")
    assert found.to_dict()["confidence"]["n_bad"] >= 1


def test_sentence_chrf_is_against_the_best_reference() -> None:
    assert sentence_chrf(["The cat sleeps."], ["xyz"], ["The cat sleeps."]) == [100.0]
    assert sentence_chrf(["The cat sleeps."], ["xyz"])[0] < 10


def test_an_explanation_says_it_too(calibrated: Translator) -> None:
    found = calibrated.translate(LINE).confidence
    assert found is not None
    facts = to_json(explain(calibrated, LINE))
    assert facts["confidence"] == pytest.approx(dataclasses.asdict(found))
    assert facts["is_source_language"] is True
    assert to_json(explain(calibrated, "How are you?"))["is_source_language"] is False


def test_jsonl_says_it(trained: Trained, calibrated: Translator, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for path in trained.model.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["confidence"] = dataclasses.asdict(CALIBRATION)
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = calibrated.translate(LINE).confidence
    assert found is not None
    for model, expected in (
        (folder, (round(found.probability, 4), found.is_guess)),
        (trained.model, (None, None)),
    ):
        process = run_command("translate", "--model", str(model), "--jsonl", LINE)
        record = json.loads(process.stdout)
        assert (record.get("confidence"), record.get("is_guess")) == expected


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("Où ?", True),
        ("Paul mange vite.", True),
        ("Votre oncle attend depuis cinq jours.", True),
        ("12 + 5 = 17", True),
        ("", True),
        ("Hello!", False),
        ("I'm tired.", False),
        ("Der Hund schläft im Garten und die Katze sitzt auf dem Tisch.", False),
        ("El perro duerme en el jardín y el gato está en la mesa.", False),
        ("asdf jkl qwer uiop zxcv", False),
        ("Привет, как дела у тебя сегодня?", False),
    ],
)
def test_what_looks_like_french(text: str, french: bool) -> None:
    assert looks_like(text, "fr") == french
    assert looks_like(text, "xx"), "nothing is known of this language"
