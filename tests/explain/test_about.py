"""What an explanation says of the model: provenance, heads and film, each None where there is none."""

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from phrases import Trained

from translator.explain import explain, to_html, to_json
from translator.explain.about import about
from translator.model_folder import MANIFEST
from translator.translation.film import FILM
from translator.translation.inference import Translator

pytest_plugins = ("trained",)


@pytest.fixture
def run(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the trained model and its film in a run's folder."""
    folder = tmp_path / "mine"
    shutil.copytree(trained.model, folder / "model")
    shutil.copy(trained.model.parent / FILM, folder / FILM)
    return folder


def facts_of(folder: Path) -> dict[str, Any]:
    return about(Translator.load(folder))


def change(folder: Path, **values: object) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def test_the_facts_of_a_run(run: Path) -> None:
    explanation = explain(Translator.load(run / "model"), "Le chat dort.")
    facts, manifest = to_json(explanation), json.loads((run / "model" / MANIFEST).read_text())
    assert facts["model"] == {
        "name": "mine",
        "corpus": "corpus",
        "created": manifest["created"],
        "bleu": manifest["scores"]["test"]["bleu"]["score"],
    }
    assert datetime.fromisoformat(facts["model"]["created"]).tzinfo is not None
    assert facts["heads"] == manifest["heads"]
    assert {role: [len(layer) for layer in layers] for role, layers in facts["heads"].items()} == {
        "encoder": [4],
        "decoder": [4],
        "cross": [4],
    }
    film = json.loads((run / FILM).read_text())
    assert facts["film"] == {"sentences": film["sentences"], "moments": film["moments"]}
    assert [moment["step"] for moment in film["moments"]] == [0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40]
    data = to_html(explanation).split('id="facts">')[1].split("</script>")[0]
    assert json.loads(data)["film"] == facts["film"]


def test_the_folder_model_may_be_named_in_any_way(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run / "model")
    facts = facts_of(Path())
    assert facts["model"]["name"] == "mine"
    assert facts["film"] is not None


def test_a_model_folder_elsewhere_has_its_own_name_and_no_film(run: Path) -> None:
    (run / "model").rename(run / "copy")  # beside a film that may be of another model
    facts = facts_of(run / "copy")
    assert facts["model"]["name"] == "copy"
    assert facts["film"] is None


def test_a_damaged_film_is_none(run: Path) -> None:
    (run / FILM).write_text("{")
    assert facts_of(run / "model")["film"] is None


@pytest.mark.parametrize(
    "heads",
    [
        None,
        {},
        [],
        {"encoder": [[None] * 4], "decoder": [[None] * 4], "cross": [[None] * 3]},
        {"encoder": [[None] * 4] * 2, "decoder": [[None] * 4], "cross": [[None] * 4]},
        {"encoder": [[None] * 4], "decoder": [[None] * 4], "cross": [[None] * 3 + [{"name": "x"}]]},
        {"encoder": [[None] * 4], "decoder": [[None] * 4], "cross": [[None] * 3 + [{"name": 1, "share": 1}]]},
    ],
)
def test_heads_that_do_not_fit_are_none(run: Path, heads: object) -> None:
    change(run / "model", heads=heads)
    assert facts_of(run / "model")["heads"] is None


@pytest.mark.parametrize("scores", [{}, None])
def test_a_model_that_was_not_tested_has_no_bleu(run: Path, scores: object) -> None:
    change(run / "model", scores=scores)
    assert facts_of(run / "model")["model"]["bleu"] is None


def test_a_model_without_a_date_is_not_described(run: Path) -> None:
    change(run / "model", created=None)
    assert facts_of(run / "model")["model"] is None


def test_a_model_without_a_folder_has_no_facts(translator: Translator) -> None:
    alone = Translator(translator.model, translator.tokenizer, translator.config)
    assert about(alone) == {"model": None, "heads": None, "film": None}
