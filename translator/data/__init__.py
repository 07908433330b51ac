"""Sentence pairs: from files to batches.

`readers` (files → rows) → `corpus` (every source → one kind of table) → `preflight` (which pairs are fit for
training) → `tokenizer` (text ↔ ids) → `preparation` (the steps above, cached on disk) → `batching`.
"""
