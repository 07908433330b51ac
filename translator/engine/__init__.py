"""Engines: what `translator.model` computes, from the same weights, fast.

    backend      which implementation computes
    training     the loss of packed batches          decoding     a search's steps
    ops          operations, PyTorch's or native     kv_cache     the state between them
    packing      batches without padding             quantized    linear maps, prepacked, in three precisions
    native       operations in C                     reference    the textbook, as an engine
    attention, cross_entropy, autocast               replicas     a thread for each shard of a batch
    runtime      CPU, memory, threads

`model/` does not know of them; tests/engine/test_parity.py holds all of them equal to it.
"""
