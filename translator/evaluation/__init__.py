"""Scores of translations against references (`metrics`)."""
