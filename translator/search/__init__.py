"""Greedy search and beam search. Both call a model only through the `Stepper` protocol.

    result    options and results                  greedy    the best or a random token at each step
    step      the protocol of a model              beam      the W best hypotheses at each step
    top       the best continuations of a beam     trace     what each step of a beam search ranked
    scoring   length-normalised scores

The search in C, `engine/csrc/search.c`, follows the same rules; the tests compare both.
"""
