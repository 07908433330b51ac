"""Explanations of a translation: attention maps, the probability of each piece, and the beam search."""

from translator.explain.attention import AttentionMap
from translator.explain.explanation import Choice, Explanation, explain
from translator.explain.page import policy, to_html
from translator.explain.picture import to_png
from translator.explain.to_json import to_json
from translator.explain.tree import Node

__all__ = [
    "AttentionMap",
    "Choice",
    "Explanation",
    "Node",
    "explain",
    "policy",
    "to_html",
    "to_json",
    "to_png",
]
