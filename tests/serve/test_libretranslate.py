"""The LibreTranslate-compatible API: fields, responses and errors."""

from typing import Any

import pytest
from phrases import Trained
from serve_case import SENTENCE
from starlette.testclient import TestClient

from translator.serve.access import Access
from translator.serve.language import language_of
from translator.serve.limits import Limits
from translator.serve.request_parsing import BODY_TYPES
from translator.translation.inference import Translator
from translator.translation.language import detect

pytest_plugins = ("trained",)

PAIR = {"source": "fr", "target": "en"}


def translate(client: TestClient, **fields: Any) -> Any:
    answer = client.post("/translate", json=PAIR | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refusal(client: TestClient, route: str, **fields: Any) -> str:
    answer = client.post(route, json=fields)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error"}
    return str(answer.json()["error"])


def test_a_text_and_a_list_are_answered_as_they_came(
    client: TestClient, model: Translator, trained: Trained
) -> None:
    texts = trained.lines("test.fr")
    expected = [found.text for found in model.translate(texts)]
    assert translate(client, q=texts) == {"translatedText": expected}
    assert translate(client, q=texts[0]) == {"translatedText": expected[0]}
    assert len(set(expected)) > 1  # else swapped results would not be noticed


def test_json_and_each_kind_of_form_say_the_same(client: TestClient) -> None:
    fields = PAIR | {"q": "L’enfant chante à Lyon."}
    answers = [
        client.post("/translate", json=fields),
        client.post("/translate", data=fields),
        client.post("/translate", files={name: (None, value) for name, value in fields.items()}),
        client.post("/translate", params=fields),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.text for answer in answers}) == 1
    assert client.post("/translate", data=fields | {"q": SENTENCE}).text != answers[0].text


def test_each_line_is_translated_and_blank_lines_stay(client: TestClient, model: Translator) -> None:
    one, two = (found.text for found in model.translate([SENTENCE, "La reine dort au marché."]))
    found = translate(client, q=f"{SENTENCE}\r\n\r\nLa reine dort au marché.\n")
    assert found == {"translatedText": f"{one}\n\n{two}\n"}


def test_alternatives_are_other_texts(client: TestClient, model: Translator) -> None:
    found = translate(client, q=SENTENCE, alternatives=2)
    candidates = model.translate([SENTENCE], n_best=3)[0].candidates
    assert [found["translatedText"], *found["alternatives"]] == [one.text for one in candidates]
    assert len(translate(client, q=[SENTENCE, "Oui."], alternatives="1")["alternatives"]) == 2
    assert "alternatives" not in translate(client, q=SENTENCE, alternatives=0)
    assert (
        len(translate(client, q=SENTENCE, alternatives=5)["alternatives"]) > 2
    )  # more than the model's beam size


def test_the_language_is_found_where_asked(client: TestClient) -> None:
    found = translate(client, q="Le chat est dans la maison.", source="auto")
    assert found["detectedLanguage"]["language"] == "fr"
    assert found["detectedLanguage"]["confidence"] > 80
    assert len(translate(client, q=["Le chat.", "La reine."], source="auto")["detectedLanguage"]) == 2
    english = "The cat is in the house."
    found = translate(client, q=english, source="auto")
    assert (found["translatedText"], found["detectedLanguage"]["language"]) == (english, "en")


def test_each_text_of_a_list_is_judged_by_itself(client: TestClient) -> None:
    english, french = "The cat is in the house.", "Le chat dort dans la maison."
    found = translate(client, q=[english, french, english], source="auto")
    assert [one["language"] for one in found["detectedLanguage"]] == ["en", "fr", "en"]
    assert found["translatedText"] == [english, translate(client, q=french)["translatedText"], english]
    asked = {"q": [french, english], "source": "auto", "target": "fr"}
    assert "not available" in refusal(client, "/translate", **asked)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Paul a faim.", "fr"),
        ("But !", "fr"),
        ("Bon an, mal an.", "fr"),
        ("Paris", "fr"),
        ("E\u0301milie a \u0153uvre\u0301.", "fr"),  # decomposed
        ("J\u02bcai faim.", "fr"),
        ("My car is here.", "en"),
        ("Pour the tea for my son.", "en"),
        ("I don\u2019t know.", "en"),
    ],
)
@pytest.mark.parametrize("languages", [("fr", "en"), ("en", "fr")])
def test_words_of_both_languages_tell_nothing(text: str, language: str, languages: tuple[str, str]) -> None:
    [first, second] = detect(text, languages)
    if first["confidence"] == second["confidence"]:
        language = languages[0]  # undecided: the source language of the model
    assert first["language"] == language


def test_accents_count_however_they_are_spelt() -> None:
    for text in ("\u00c9t\u00e9.", "E\u0301te\u0301."):
        assert detect(text, ("en", "fr"))[0] == {"confidence": 83.3, "language": "fr"}


def test_detect_settings_languages_and_health(client: TestClient) -> None:
    [first, second] = client.post("/detect", data={"q": "What is this?"}).json()
    assert (first["language"], second["language"]) == ("en", "fr")
    assert first["confidence"] + second["confidence"] == pytest.approx(100)
    [french, english] = client.get("/languages").json()
    assert french == {"code": "fr", "name": "French", "targets": ["en", "fr"]}
    assert english == {"code": "en", "name": "English", "targets": ["en"]}
    assert client.get("/health").json() == {"status": "ok"}
    settings = client.get("/frontend/settings").json()
    assert settings["language"]["source"] == {"code": "fr", "name": "French"}
    assert (settings["keyRequired"], settings["charLimit"]) == (False, 5000)
    assert (settings["model"]["name"], settings["model"]["corpus"]) == ("phrases", "corpus")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"q": ""}, "Invalid request: missing q parameter"),
        ({"q": []}, "Invalid request: missing q parameter"),
        ({"q": 7}, "Invalid request: q parameter is not a string"),
        ({"q": ["a", None]}, "Invalid request: q parameter is not a string"),
        ({"q": "a", "source": ""}, "Invalid request: missing source parameter"),
        ({"q": "a", "target": ["en"]}, "Invalid request: target parameter is not a string"),
        ({"q": "a", "target": "zz"}, "zz is not supported"),
        ({"q": "a", "source": "zz"}, "zz is not supported"),
        ({"q": "a", "format": "html"}, "html format is not supported"),
        ({"q": "a", "format": "xml"}, "xml format is not supported"),
        ({"q": "a", "alternatives": "abc"}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "a", "alternatives": [1]}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "a", "alternatives": 1e400}, "Invalid JSON format"),
        ({"q": "a", "alternatives": 1.5}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "a", "alternatives": True}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "a", "alternatives": []}, "Invalid request: alternatives parameter is not a number"),
        ({"q": "a", "alternatives": -1}, "Invalid request: alternatives parameter must be >= 0"),
        ({"q": "a", "format": []}, "[] format is not supported"),
        ({"q": "a", "alternatives": 99}, "Invalid request: alternatives parameter must be <= 10"),
        (
            {"q": "a", "source": "en", "target": "fr"},
            "French (fr) is not available as a target language from English (en)",
        ),
    ],
)
def test_what_cannot_be_answered_is_said(client: TestClient, fields: Any, message: str) -> None:
    import json

    answer = client.post(
        "/translate", content=json.dumps(PAIR | fields), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()) == (400, {"error": message})


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"{", "application/json", "Invalid JSON format"),
        (b'["q"]', "application/json", "Invalid JSON format"),
        (b"[" * 100_000, "application/json", "Invalid JSON format"),
        (b'{"q": NaN}', "application/json", "Invalid JSON format"),
        (b'{"q": ' + b"9" * 5000 + b"}", "application/json", "Invalid JSON format"),
        (b'{"q": "\xff"}', "application/json", "Invalid request: the body is not UTF-8"),
        (b"q=\xff", "application/x-www-form-urlencoded", "Invalid request: the body is not UTF-8"),
        (b"q=%ff", "application/x-www-form-urlencoded", "Invalid request: the body is not UTF-8"),
        (b"q=a&" * 200, "application/x-www-form-urlencoded", "Invalid request: more than 100 fields"),
        (b"--x\r\n", "multipart/form-data", "Invalid request: the form cannot be read"),
        (b"nothing", "multipart/form-data; boundary=x", "Invalid request: the form cannot be read"),
        (b"", "application/json", "Invalid JSON format"),
        (b"", "image/png", "Invalid request: missing q parameter"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request(
    client: TestClient, content: bytes, kind: str, message: str
) -> None:
    answer = client.post("/translate", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()) == (400, {"error": message})


def _multipart(q: bytes, *, of_part: bytes = b"", end: bytes = b"--x--\r\n") -> bytes:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\nen\r\n' % name
        for name in (b"source", b"target")
    ]
    text = b'--x\r\nContent-Disposition: form-data; name="q"\r\n%s\r\n%s\r\n' % (of_part, q)
    return b"".join([*parts, text, end])


@pytest.mark.parametrize(
    ("body", "charset", "message"),
    [
        (_multipart("é".encode()), "", None),
        (_multipart("é".encode()), "; charset=UTF8", None),
        (_multipart("é".encode(), of_part=b"Content-Type: text/plain; charset=UTF-8\r\n"), "", None),
        (_multipart("é".encode(), end=b"--x--"), "", None),
        (_multipart(b"\xe9"), "", "the body is not UTF-8"),
        (_multipart(b"\xe9"), "; charset=iso-8859-1", "the body is not UTF-8"),
        (_multipart("é".encode()), "; charset=latin-1", "the body is not UTF-8"),
        (_multipart("é".encode()), "; charset=none", "the body is not UTF-8"),
        (_multipart(b"e\0", of_part=b"content-type: a; charset=utf-16le\r\n"), "", "the body is not UTF-8"),
        (_multipart("é".encode(), end=b""), "", "the form cannot be read"),
        (_multipart("é".encode(), end=b"--x\r\n"), "", "the form cannot be read"),
        (_multipart("é".encode(), end=b"--x-"), "", "the form cannot be read"),
    ],
)  # fmt: skip
def test_a_form_in_parts_is_whole_and_utf8(
    client: TestClient, body: bytes, charset: str, message: str | None
) -> None:
    kind = {"Content-Type": f"multipart/form-data; boundary=x{charset}"}
    answer = client.post("/translate", content=body, headers=kind)
    expected = {"translatedText": "é"} if message is None else {"error": f"Invalid request: {message}"}
    assert (answer.status_code, answer.json()) == (200 if message is None else 400, expected)


def test_what_json_can_spell_and_utf8_cannot_is_answered(client: TestClient) -> None:
    body = b'{"q": "\\ud800 \\u0000 \\ud83d\\udc08", "source": "en", "target": "en"}'
    answer = client.post("/translate", content=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"translatedText": "\ufffd \0 🐈"}


def test_other_routes_and_methods_are_refused_as_json(client: TestClient) -> None:
    assert client.get("/nowhere").json() == {"error": "Not Found"}
    for method, path in (("POST", "/translate/"), ("GET", "/health/"), ("POST", "/api/explain/")):
        assert client.request(method, path, follow_redirects=False).status_code == 404
    assert (client.get("/translate").status_code, client.get("/docs").status_code) == (405, 404)


def test_a_language_may_have_any_case_and_region(client: TestClient) -> None:
    expected = translate(client, q=SENTENCE)
    for source in ("FR", "fr-FR", "fr_FR", "Fr-ca", " fr", "fr-Latn-FR"):
        for target in ("EN", "en-US", "en_GB"):
            assert translate(client, q=SENTENCE, source=source, target=target) == expected
    assert translate(client, q="Le chat.", source="AUTO")["detectedLanguage"]["language"] == "fr"
    assert translate(client, q="Le chat.", source="fr-BE", target="fr_CA") == {"translatedText": "Le chat."}
    for code in ("zz-FR", "frr", "f", "-fr", "FRA"):
        assert refusal(client, "/translate", q="a", source=code, target="en") == f"{code} is not supported"


def test_a_code_with_a_region_is_itself_first() -> None:
    assert language_of("PT_pt", ("pt-BR", "pt-PT")) == "pt-PT"
    assert language_of("pt", ("pt-BR", "pt-PT")) == "pt-BR"
    assert language_of("", ("fr", "en")) is None


def test_a_byte_order_mark_before_json_is_no_matter(client: TestClient) -> None:
    body = b"\xef\xbb\xbf" + b'{"q": "a", "source": "en", "target": "en"}'
    answer = client.post("/translate", content=body, headers={"Content-Type": "application/json"})
    assert answer.json() == {"translatedText": "a"}


@pytest.mark.parametrize("kind", ["image/png", "text/plain;charset=UTF-8", "application/xml", "x"])
def test_a_body_of_another_type_is_not_read(client: TestClient, kind: str) -> None:
    answer = client.post("/translate", content=b"q=a", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]
    assert kind.partition(";")[0] in answer.json()["error"]


def test_a_body_that_is_compressed_is_not_read(client: TestClient) -> None:
    for encoding, status in (("gzip", 415), ("Br", 415), ("gzip, identity", 415), ("identity", 200)):
        answer = client.post("/translate", json=PAIR | {"q": "a"}, headers={"Content-Encoding": encoding})
        assert answer.status_code == status
        assert status == 200 or encoding.lower() in answer.json()["error"]


def test_a_long_line_is_translated_as_the_model_does(client: TestClient, model: Translator) -> None:
    text = " ".join([SENTENCE, "La reine dort au marché."] * 40)
    [found] = model.translate([text], n_best=2)
    assert found.n_parts > 2
    answer = translate(client, q=[text, SENTENCE], alternatives=1)
    assert answer["translatedText"][0] == found.text
    assert answer["alternatives"][0] == [one.text for one in found.candidates[1:]]


def test_the_schema_describes_every_route_and_how_it_refuses(serve: Any) -> None:
    client = serve(limits=Limits(max_texts=3, max_characters=40), access=Access(api_key="sixteen-letters!"))
    described = client.get("/openapi.json").json()["paths"]
    routes = {"/translate", "/detect", "/api/translate", "/api/align", "/api/alternatives", "/api/explain"}
    assert {path for path, operations in described.items() if "post" in operations} == routes
    for path in routes:
        operation = described[path]["post"]
        kinds = set(operation["requestBody"]["content"])
        assert kinds == ({BODY_TYPES[0]} if path == "/api/alternatives" else set(BODY_TYPES))
        assert {"200", "400", "403", "408", "413", "415", "421", "500", "503"} <= set(operation["responses"])
        assert operation["security"]
        assert client.post(path, json={}).status_code == 400
        assert client.post(path, content=b"x", headers={"Content-Type": "image/png"}).status_code == 415
    asked = described["/translate"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked["properties"]["q"]["anyOf"][1]["maxItems"] == 3
    assert asked["properties"]["q"]["anyOf"][0]["maxLength"] == 40
    assert set(asked["required"]) == {"q", "source", "target"}
    health = described["/health"]["get"]
    assert {"200", "503"} <= set(health["responses"])
    assert "security" not in health
