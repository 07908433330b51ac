"""Where sentence pairs come from and how they become batches.

`readers` (files → rows) → `corpus` (every source → one kind of data set) → `preflight` (which pairs are
fit for training) → `tokenizer` (text ↔ ids) → `preparation` (all of this once, on disk) → `batching`.
"""
