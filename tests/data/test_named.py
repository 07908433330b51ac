"""Sentences with invented names: who is replaced, and that both languages speak of the same person."""

from itertools import islice

from translator.data.phrasebook.draw import Draw
from translator.data.phrasebook.lexicon import load
from translator.data.phrasebook.named import with_invented_names
from translator.data.phrasebook.phrases import Sentence

PEOPLE = [
    ("Je connais bien Marie.", "I know Marie well."),
    ("C'est le vélo d'Anne.", "That's Anne's bike."),
    ("J'ai dîné avec ma sœur.", "I had dinner with my sister."),
]
SUBJECTS = [("Il dort encore.", "He's still asleep."), ("Elle lit un roman.", "She reads a novel.")]
OTHERS = [
    ("Il pleut.", "It's raining."),
    ("Marie aime Anne et Marie.", "Marie likes Anne and Marie's dog."),  # Marie twice; Anne once
    ("Ma sœur aînée est là.", "My older sister is here."),
    ("Mon ami voit mon père.", "My father sees my friend."),
    ("Je l'ai lu sur Internet hier.", "I read it on the Internet yesterday."),
    ("On part à New York lundi.", "We leave for New York on Monday."),
    ("Vive la fête d'Halloween !", "Long live Halloween!"),
    ("Ma voisine a perdu ses clés.", "My neighbor lost her keys."),  # nothing says that Bellandou is a woman
    ("Elle adore son chat.", "She loves her cat."),
    ("Il lui faut du temps.", "He needs time."),  # Il is no person
    ("Il ne lui restait qu'un euro.", "He had only one euro left."),
    ("Il lui plaît, ça se voit.", "She likes him, you can tell."),
]


def drawn(pairs: list[tuple[str, str]], n: int) -> list[Sentence]:
    sentences = [Sentence(fr, en, ()) for fr, en in pairs]
    return list(islice(with_invented_names(sentences, Draw(load(), 1)), n))


def shared_words(sentence: Sentence) -> set[str]:
    fr, en = (
        {word.strip(".,") for part in text.split() for word in part.split("'")} for text in sentence[:2]
    )
    return {word for word in fr & en if word[:1].isupper()}


def test_people_and_subjects_take_turns_and_the_name_is_the_same_on_both_sides() -> None:
    sentences = drawn([*PEOPLE, *SUBJECTS], 120)
    for at, sentence in enumerate(sentences):
        assert len(shared_words(sentence)) == 1, sentence
        name = shared_words(sentence).pop()
        assert name not in ("Marie", "Anne", "Il", "He")
        if at % 2:
            assert sentence.fr.startswith(name)
            assert sentence.fr.endswith("lit un roman.")  # He's is no He
            assert sentence.en == f"{name} reads a novel."
        assert sentence.links == ()
    assert len({sentence.fr for sentence in sentences}) > 110


def test_de_and_que_are_elided_before_names_with_a_vowel_only() -> None:
    fr = {sentence.fr for sentence in drawn([*PEOPLE, *SUBJECTS], 900)}

    def initials(start: str) -> list[str]:
        return [text.removeprefix(start)[0] for text in fr if text.startswith(start)]

    elided, whole = initials("C'est le vélo d'"), initials("C'est le vélo de ")
    vowels = set("AÁÀÂÅEÉÈÊIÍİOÓÔÖØUÜH")
    assert 50 < len(elided) < 100
    assert 50 < len(whole) < 100
    assert set(elided) <= vowels | {"Y"}  # a vowel in Yves, not in Youssef
    for others in (whole, initials("J'ai dîné avec ")):
        assert others
        assert not set(others) & vowels


def test_what_is_not_plainly_one_person_is_left_alone() -> None:
    sentences = drawn([*PEOPLE, *SUBJECTS, *OTHERS], 400)
    left = ("pleut", "aînée", "voit", "lu sur", "On part", "Vive", "clés", "adore")
    assert not any(word in s.fr for s in sentences for word in left)
    both = [s for s in sentences if "aime" in s.fr]
    assert both
    assert all(s.fr.startswith("Marie aime ") and s.fr.endswith(" et Marie.") for s in both)


def test_elle_tells_that_somebody_is_a_woman() -> None:
    says_so = ("Ma voisine dit qu'elle a perdu ses clés.", "My neighbor says she lost her keys.")
    assert any(s.fr.endswith(" dit qu'elle a perdu ses clés.") for s in drawn([says_so, *SUBJECTS], 40))


def test_an_invented_name_is_no_word_of_the_sentences() -> None:
    words = " ".join({sentence.fr.split()[0] for sentence in drawn([*PEOPLE, *SUBJECTS], 400)[1::2]})
    again = drawn([*PEOPLE, *SUBJECTS, (words, words)], 400)
    assert not {sentence.fr.split()[0] for sentence in again[1::2]} & {*words.split()}


def test_without_people_there_is_nothing() -> None:
    assert drawn([("Il pleut.", "It's raining.")], 5) == []
