"""How the cache saves time; apart from `test_kv_cache.py`, which grades a learner's own."""

import torch
from toy_model import SOURCE_IDS, toy_model

from translator.engine.decoding import DecodingEngine

W = 3


def test_most_steps_copy_only_what_is_new() -> None:
    model = toy_model()
    decoder, n = DecodingEngine(model), len(SOURCE_IDS)
    state = decoder.start(model.encode(SOURCE_IDS))
    places = set()
    for step in range(30):
        decoder.step(torch.full((n, W if step else 1), 5), state)
        state.reorder(torch.arange(n), torch.zeros(n, W, dtype=torch.int64))
        places.add(state.self_kv[0].data_ptr())
    n_keys = 1 + 29 * W
    assert len(places) <= 3
    assert n_keys <= state.self_kv[0].size(2) < n_keys + 48
    assert all(kv.isfinite().all() for kv in state.self_kv)


def test_a_sentence_that_leaves_moves_only_the_last() -> None:
    model = toy_model()
    decoder = DecodingEngine(model)
    state = decoder.start(model.encode(SOURCE_IDS))
    decoder.step(torch.full((4, 1), 5), state)
    before = [kv.clone() for kv in (state.self_kv[0], state.cross_kv[0].key)]
    places = [state.self_kv[0].data_ptr(), state.cross_kv[0].key.data_ptr()]
    state.reorder(torch.tensor([0, 3, 2]), torch.zeros(3, W, dtype=torch.int64))
    assert [state.self_kv[0].data_ptr(), state.cross_kv[0].key.data_ptr()] == places
    for old, new in zip(before, (state.self_kv[0], state.cross_kv[0].key), strict=True):
        assert torch.equal(new, old[[0, 3, 2]])
