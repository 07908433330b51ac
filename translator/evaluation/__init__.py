"""Metrics that compare translations with reference translations."""
