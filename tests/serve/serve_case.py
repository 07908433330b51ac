"""What the tests of the service share."""

SENTENCE = "Le chat dort dans la maison."
