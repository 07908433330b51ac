"""The routes of the page: words and links, alternatives, explanations."""

from typing import Any

import pytest
import torch
from phrases import Trained
from serve_case import SENTENCE
from starlette.testclient import TestClient

from translator.alignment.words import words
from translator.data.tokenizer import WORD_MARK
from translator.serve.alternatives import MIN_PROBABILITY, alternatives, spans
from translator.symbols import BOS, EOS
from translator.translation.aligner import Aligner
from translator.translation.decoders import DecodingBackend
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

OTHER = "La reine attend à Lyon."


def ask(client: TestClient, route: str, **fields: Any) -> Any:
    answer = client.post(route, json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbered(pieces: list[tuple[str, int | None]]) -> list[str]:
    found = [piece for piece, number in pieces if number is not None]
    assert [number for _, number in pieces if number is not None] == list(range(len(found)))
    return found


def test_a_translation_comes_in_words_with_their_links(client: TestClient, model: Translator) -> None:
    text = f"{SENTENCE}\n\n{OTHER}"
    found = ask(client, "/api/translate", text=text)
    one, two = (best.text for best in model.translate([SENTENCE, OTHER]))
    assert found["translation"] == f"{one}\n\n{two}"
    assert "".join(piece for piece, _ in found["source"]) == text
    assert "".join(piece for piece, _ in found["target"]) == found["translation"]
    assert numbered(found["source"]) == words(SENTENCE) + words(OTHER)
    assert numbered(found["target"]) == words(one) + words(two)
    first, second = Aligner(model).align([SENTENCE, OTHER], [one, two])
    moved = [[i + len(words(SENTENCE)), j + len(words(one))] for i, j in second]
    assert found["links"] == [list(link) for link in first] + moved
    chances = [word.probability for best in model.translate([SENTENCE, OTHER]) for word in best.words]
    assert found["probabilities"] == pytest.approx(chances, abs=1e-4)
    assert (found.pop("confidence"), found.pop("is_source_language")) == (None, True)
    assert ask(client, "/api/align", text=text, translation=found["translation"]) == {
        **found,
        "probabilities": pytest.approx(chances, abs=2e-4),  # by teacher forcing, not from the search
    }
    assert first
    assert second


def test_a_given_translation_is_aligned_and_one_of_other_lines_is_not(client: TestClient) -> None:
    found = ask(client, "/api/align", text=SENTENCE, translation="The cat sleeps.")
    assert numbered(found["target"]) == ["The", "cat", "sleeps", "."]
    assert found["links"]
    assert len(found["probabilities"]) == 4
    other = ask(client, "/api/align", text=SENTENCE, translation="The cat\nsleeps.")
    assert (other["links"], other["probabilities"]) == ([], [None] * 4)
    blank = ask(client, "/api/align", text=f"{SENTENCE}\n \n{SENTENCE}", translation="The cat\nsleeps.\nThe")
    assert blank["probabilities"][2:4] == [None, None]
    assert None not in (*blank["probabilities"][:2], blank["probabilities"][4])
    assert {j for _, j in blank["links"]} & {2, 3} == set()


def test_other_words_keep_what_stands_before(client: TestClient, model: Translator) -> None:
    target = "The queen is waiting in Lyon."
    found = ask(
        client, "/api/alternatives", text=f"{SENTENCE}\n{OTHER}", translation=f"The cat.\n{target}", word=7
    )["alternatives"]
    assert [one["word"] for one in found] == [
        one.word for one in alternatives(model, OTHER, target, word=4)
    ]  # "in", after the three words of the first line
    assert len(found) > 1
    assert len({one["word"] for one in found} | {"in"}) == len(found) + 1
    chances = [one["probability"] for one in found]
    assert chances == sorted(chances, reverse=True)
    assert chances[-1] >= MIN_PROBABILITY
    for one in found:
        assert words(one["line"])[:5] == ["The", "queen", "is", "waiting", one["word"]]
        assert (one["text"], one["row"]) == (f"The cat.\n{one['line']}", 1)
        assert one["line"].startswith(one["prefix"])
        assert words(one["prefix"])[-1] == one["word"]


def test_other_words_of_a_sentence_leave_the_others_alone(trained: Trained) -> None:
    model = Translator.load(trained.model, split_sentences="always")
    source, target = f"{OTHER} {SENTENCE} {OTHER}", "She waits. The cat is sleeping. She waits."
    place = words(target).index("cat")
    found = alternatives(model, source, target, word=place)
    alone = alternatives(model, SENTENCE, "The cat is sleeping.", word=1)
    assert [other.text for other in found] == [f"She waits. {other.text} She waits." for other in alone]
    assert [other.probability for other in found] == [other.probability for other in alone]
    assert found


def test_the_probability_is_the_uncached_models_of_a_piece_that_begins_the_word(model: Translator) -> None:
    before, tokenizer = "The queen is waiting", model.tokenizer
    source = torch.tensor([[*tokenizer.encode(OTHER), EOS]])
    target = torch.tensor([[BOS, *tokenizer.encode(before)]])
    with torch.inference_mode():
        chances = model.model(source, target)[0, -1].softmax(-1)
    for other in alternatives(model, OTHER, f"{before} in Lyon.", word=4):
        begins = [piece for piece in range(len(tokenizer)) if f" {other.word}".startswith(
            tokenizer.pieces([piece])[0].replace(WORD_MARK, " "))]  # fmt: skip
        assert any(abs(float(chances[piece]) - other.probability) < 1e-5 for piece in begins), other


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_one_batch_finds_what_a_search_for_each_alternative_finds(
    trained: Trained, backend: DecodingBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Translator.load(trained.model, backend=backend)
    search, asked = model.search, []
    monkeypatch.setattr(
        model, "search", lambda *given, **named: asked.append(named) or search(*given, **named)
    )
    found = alternatives(model, OTHER, "The queen is waiting in Lyon.", word=4)
    [batch] = asked
    assert len(batch["prefixes"]) >= len(found) > 1
    parts = [ids for _, ids in model.cut([OTHER])]
    results = [search(parts, model.config.search, prefix=prefix)[0] for prefix in batch["prefixes"]]
    each = [model.tokenizer.decode(result.hypotheses[0].ids) for result in results]
    assert [other.text for other in found] == [text for text in each if text in {one.text for one in found}]


@pytest.mark.parametrize("word", [-1, 99, True, "1", None])
def test_a_word_that_is_not_there_is_refused(client: TestClient, word: Any) -> None:
    fields = {"text": SENTENCE, "translation": "The cat sleeps.", "word": word}
    answer = client.post("/api/alternatives", json=fields)
    assert answer.status_code == 400
    assert "word" in answer.json()["error"]


@pytest.mark.parametrize(
    ("route", "name", "value"),
    [
        ("alternatives", "word", 99),
        ("alternatives", "translation", "The cat\nsleeps."),
        ("explain", "text", f"{SENTENCE}\n{OTHER}"),
        ("explain", "prefix", "The\ncat"),
        ("explain", "prefix", "0" * 999),
    ],
)
def test_what_the_schema_can_only_say_in_words_is_refused_so(
    serve: Any, route: str, name: str, value: Any
) -> None:
    client = serve(explain=lambda *_: "<title>explained</title>")
    fields = {"alternatives": {"translation": "The cat sleeps.", "word": 0}, "explain": {"prefix": "The"}}
    given = {"text": SENTENCE, **fields[route]}
    assert client.post(f"/api/{route}", json=given).status_code == 200
    assert client.post(f"/api/{route}", json=given | {name: value}).status_code == 400
    operation = client.get("/openapi.json").json()["paths"][f"/api/{route}"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"][name]["description"].startswith("400 if ")


def test_spans_are_where_the_words_are() -> None:
    text = "Don't! L'eau de Marie-t-il… à  Lyon"
    assert [text[start:end] for start, end in spans(text)] == words(text)


def test_the_explanation_is_a_page_of_its_own(serve: Any, trained: Trained) -> None:
    asked = []

    def explain(translator: Translator, text: str, prefix: str) -> str:
        asked.append((text, prefix))
        return "<title>explained</title>"

    client = serve(explain=explain)
    answer = client.post("/api/explain", data={"text": SENTENCE, "prefix": "The"})
    assert (answer.status_code, answer.text) == (200, "<title>explained</title>")
    assert asked == [(SENTENCE, "The")]
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "allow-same-origin" not in policy
    assert client.post("/api/explain", data={"text": f"{SENTENCE}\n{OTHER}"}).status_code == 400
    long = client.post("/api/explain", data={"text": SENTENCE, "prefix": "The cat sleeps. " * 300})
    assert (long.status_code, "prefix parameter exceeds the model" in long.text) == (400, True)
    assert len(asked) == 1  # nothing was computed
    assert serve().post("/api/explain", data={"text": SENTENCE}).status_code == 501
