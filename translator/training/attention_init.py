"""Initial attention weights with which a model can copy: an induction head (Olsson et al. 2022).

A word that the model has never seen, such as a name, has to be copied piece by piece. For this, the decoder
must find the source piece that follows the one that it wrote last. A model of this size learns it late, or
not at all in a short training. So some heads start out with it; like all others, they are trained further.

1. A previous-token head in the first encoder layer attends to position p - 1, and writes a projection of the
   piece there into columns of its own.
2. Two heads in the last decoder layer match the same projection of the piece written last against these
   columns. They therefore attend to the source pieces that follow the same piece.
3. In cross-attention, the output weights are the transpose of the value weights. The piece attended to thus
   becomes more probable as the next one, because embeddings are tied.

The columns are those of the fastest sinusoids, which the initial embeddings leave free. The other heads, and
the feed-forward sublayers, start at random.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from translator.model.positions import sinusoids
from translator.model.transformer import Transformer

#: Scales of the weights below, chosen by how soon random sequences of pieces are copied. None is critical.
_SHARPNESS = 2.0  # queries and keys of the previous-token head
_WRITTEN = 1.5  # output of the previous-token head
_PASSED_ON = 2.0  # values and output of cross-attention


def initialise_copying(model: Transformer) -> Tensor:
    """Initialise attention as described above, drawing from torch's global generator.

    Returns:
        The columns that the initial embeddings use. In the others, they are zero.
    """
    first, last = model.encoder.layers[0].self_attention, model.decoder.layers[-1].cross_attention
    assert last is not None
    width, head_width = first.width, first.width // first.n_heads
    n = min(head_width // 2, width // 6)  # number of sinusoids
    head = slice(0, 2 * n)
    free = torch.cat([torch.arange(n), width // 2 + torch.arange(n)])  # sines, cosines
    used = torch.ones(width, dtype=torch.bool).index_fill(0, free, False).nonzero().flatten()
    with torch.no_grad():
        weight = model.embedding.weight
        weight.copy_(weight.norm(dim=1, keepdim=True) * F.normalize(weight.index_fill(1, free, 0.0)))
        # 1. A query is the encoding of the previous position, and a key that of its own.
        sine, cosine = sinusoids(2, width, base=model.position_base)[1].view(2, -1)[:, :n]
        own, previous = torch.zeros(2 * n, width), torch.zeros(2 * n, width)
        own[:, free] = torch.eye(2 * n)
        previous[:, free] = torch.cat(
            [
                torch.cat([cosine.diag(), -sine.diag()], dim=1),  # sin(p - 1) = sin p cos 1 - cos p sin 1
                torch.cat([sine.diag(), cosine.diag()], dim=1),  # cos(p - 1) = cos p cos 1 + sin p sin 1
            ]
        )
        first.query.weight[head] = _SHARPNESS * previous
        first.key_value.weight[head] = _SHARPNESS * own
        #    Its output is a projection of the piece, in the free columns.
        projection = torch.zeros(2 * n, width)
        projection[:, used] = torch.linalg.qr(torch.randn(len(used), 2 * n))[0].T
        first.key_value.weight[width:][head] = projection
        first.output.weight[:, head] = _WRITTEN * own.T
        # 2. A query is the same projection of the piece written last, and a key reads the free columns.
        for start in range(0, width, head_width)[:2]:
            last.query.weight[start : start + 2 * n] = projection
            last.key_value.weight[start : start + 2 * n] = own
        # 3. Values and output.
        for layer in model.decoder.layers:
            if layer.cross_attention is not None:
                basis = torch.linalg.qr(torch.randn(width, width))[0] * _PASSED_ON**0.5
                layer.cross_attention.key_value.weight[width:] = basis
                layer.cross_attention.output.weight.copy_(basis.T)
    return used
