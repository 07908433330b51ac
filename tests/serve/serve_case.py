"""A sentence shared by the tests of the service."""

SENTENCE = "Le chat dort dans la maison."
