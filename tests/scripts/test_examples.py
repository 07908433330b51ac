"""The examples: a language model, a masked-token model and a reader of pictures each learn their task."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "examples"))
import cross_modal
import language_model
import masked_model
from sentences import BLOT, NO_WORDS

from translator.symbols import BOS, EOS, PAD


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_sentence_is_framed() -> None:
    rows = torch.tensor([[5, 6, 7], [8, PAD, PAD]])
    assert language_model.framed(rows).tolist() == [[BOS, 5, 6, 7, EOS], [BOS, 8, EOS, PAD, PAD]]


def test_padding_is_never_blotted_out_and_the_blot_is_no_word() -> None:
    torch.manual_seed(1)
    rows = torch.tensor([[5, 6, PAD, PAD]]).expand(200, -1)
    hidden = masked_model.blot(rows)
    assert 0.1 < hidden[:, :2].double().mean() < 0.3
    assert not hidden[:, 2:].any()
    assert len(NO_WORDS) == BLOT + 1


def test_a_caption_names_what_is_in_the_picture_in_reading_order() -> None:
    torch.manual_seed(1)
    looks = 100 * torch.randn(len(cross_modal.WORDS), cross_modal.PATCH_WIDTH)
    patches, captions, places = cross_modal.draw(50, looks)
    assert (places[:, 0] < places[:, 1]).all()
    for picture, caption, where in zip(patches, captions.tolist(), places.tolist(), strict=True):
        assert picture.norm(dim=1).argsort()[-2:].sort().values.tolist() == where
        for colour, shape, place in zip(caption[::2], caption[1::2], where, strict=True):
            assert (picture[place] - looks[colour] - looks[shape]).norm() < 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_language_model_learns_and_without_its_mask_it_cheats() -> None:
    costs = language_model.run()
    assert costs["model"] < costs["unigram"] - 1
    # Control: who sees the next word needs no language, and no honest model gets near.
    assert language_model.run(causal=False)["model"] < costs["model"] - 1.5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_masked_model_learns_from_both_sides() -> None:
    costs = {look_at: masked_model.run(look_at=look_at) for look_at in ("both sides", "itself")}
    assert costs["both sides"]["model"] < costs["both sides"]["unigram"] - 1
    # Control: who may look at nothing knows less.
    assert costs["both sides"]["model"] < costs["itself"]["model"] - 0.4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_captioner_reads_the_picture() -> None:
    result = cross_modal.run()
    assert result["model"] < 0.2 < result["chance"]
    assert result["right"] > 0.95
    assert result["found"] > 0.6
    # Control: with captions of other pictures, nothing can be learnt but chance.
    shuffled = cross_modal.run(shuffle=True)
    assert shuffled["model"] > result["chance"] - 0.01
    assert shuffled["right"] < 0.4
