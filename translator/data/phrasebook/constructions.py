"""The constructions of the grammar, each with its relative frequency."""

from translator.data.phrasebook import (
    pronouns,
    questions,
    statements,
)
from translator.data.phrasebook.statements import TENSE_WEIGHTS, TENSES, Construction, tense_statement

CONSTRUCTIONS: tuple[tuple[Construction, int], ...] = (
    (statements.statement, 8),
    *((tense_statement(tense), n) for tense, n in zip(TENSES, TENSE_WEIGHTS, strict=True)),
    (statements.negative, 10),
    (statements.negative_que, 3),
    (statements.negative_rien, 3),
    (statements.negative_personne, 3),
    (statements.something, 3),
    (statements.remark, 3),
    (statements.not_yet, 3),
    (pronouns.with_direct_pronoun, 8),
    (pronouns.with_indirect_pronoun, 6),
    (pronouns.with_two_pronouns, 4),
    (pronouns.with_en, 3),
    (pronouns.with_y, 3),
    (statements.recent, 3),
    (statements.reflexive, 4),
    (statements.modal, 7),
    (statements.with_infinitive, 5),
    (statements.must, 3),
    (pronouns.order, 7),
    (questions.yes_or_no, 9),
    (questions.with_pronoun, 3),
    (questions.where, 3),
    (questions.when_why_how, 5),
    (questions.what, 4),
    (questions.whom, 3),
    (questions.who, 3),
    (questions.how_many, 4),
    (questions.since_when, 1),
    (statements.tense_statement("plus-que-parfait"), 2),
)
