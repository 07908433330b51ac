"""Engines: alternative implementations of what `translator.model` computes, from the same weights.

    backend      selection of an implementation     decoding     encoding, and the steps of a search
    training     loss of packed batches             kv_cache     decoder state between steps
    ops          operations in PyTorch or C         quantized    prepacked linear layers in three precisions
    packing      batches without padding            reference    `translator.model` as an engine
    native       operations in C, called via ctypes replicas     one thread per shard of a batch
    native_library  selection of a build of csrc/   runtime      CPU features, memory, threads

The modules `attention`, `cross_entropy` and `autocast` contain functions that these modules use.

`model/` does not import engines. tests/engine/test_parity.py checks that all engines agree with `model/`. The
letters in shapes, such as (B, L, D), are explained in `model/__init__.py`. In addition, R is the number of
packed rows (see `packing`).
"""
