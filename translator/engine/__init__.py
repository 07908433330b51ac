"""Engines: alternative implementations of what `translator.model` computes, from the same weights.

    training         loss of packed batches           native_decoding  a whole search in C
    ops              operations in PyTorch or C       decoding         the model with a cache, step by step
    packing          batches without padding          kv_cache         decoder state between steps
    native           operations in C for training     torch_search     a search with an engine in PyTorch
    replicas         one thread per shard of a batch  memory           malloc, oneDNN's cache

    backend          selection of an implementation   native_library   selection of a build of csrc/
    reference        `translator.model` as an engine  runtime          device, CPU features, threads

The modules `attention`, `cross_entropy` and `autocast` contain functions that the training engine uses.

`model/` does not import engines. tests/engine/test_parity.py and, for decoding in C, test_native_decoding.py
check that all engines agree with `model/`. The letters in shapes, such as (B, L, D), are explained in
`model/__init__.py`. In addition, R is the number of packed rows (see `packing`).
"""
