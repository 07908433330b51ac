"""Write a model of ours as models of the peers: python scripts/peers/convert.py MODEL OUT

Runs in our own environment and imports no peer. OUT gets two folders:

    pegasus/   config.json, generation_config.json, model.safetensors   for Hugging Face Transformers
    joeynmt/   config.yaml, best.ckpt, vocabularies, tokenizer.model     for JoeyNMT

Pegasus computes what ours computes, names aside. JoeyNMT interleaves the sines and cosines of a position, so
every vector of width D is permuted, and has padding and unknown at each other's ids, so two rows are swapped.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from translator.config import ModelConfig
from translator.model_folder import TOKENIZER, LoadedModel, load_model_folder
from translator.symbols import BOS, EOS, PAD, UNK

Weights = dict[str, Tensor]

#: Our name of a linear map or norm inside a layer, and Pegasus' and JoeyNMT's (of encoder, of decoder).
PEGASUS = {
    "self_attention.query": "self_attn.q_proj",
    "self_attention.key": "self_attn.k_proj",
    "self_attention.value": "self_attn.v_proj",
    "self_attention.output": "self_attn.out_proj",
    "self_norm": "self_attn_layer_norm",
    "cross_attention.query": "encoder_attn.q_proj",
    "cross_attention.key": "encoder_attn.k_proj",
    "cross_attention.value": "encoder_attn.v_proj",
    "cross_attention.output": "encoder_attn.out_proj",
    "cross_norm": "encoder_attn_layer_norm",
    "feed_forward.inner": "fc1",
    "feed_forward.outer": "fc2",
    "feed_norm": "final_layer_norm",
}
JOEYNMT = {
    "self_attention.query": ("src_src_att.q_layer", "trg_trg_att.q_layer"),
    "self_attention.key": ("src_src_att.k_layer", "trg_trg_att.k_layer"),
    "self_attention.value": ("src_src_att.v_layer", "trg_trg_att.v_layer"),
    "self_attention.output": ("src_src_att.output_layer", "trg_trg_att.output_layer"),
    "self_norm": ("layer_norm", "x_layer_norm"),
    "cross_attention.query": ("", "src_trg_att.q_layer"),
    "cross_attention.key": ("", "src_trg_att.k_layer"),
    "cross_attention.value": ("", "src_trg_att.v_layer"),
    "cross_attention.output": ("", "src_trg_att.output_layer"),
    "cross_norm": ("", "dec_layer_norm"),
    "feed_forward.inner": ("feed_forward.pwff_layer.0",) * 2,
    "feed_forward.outer": ("feed_forward.pwff_layer.3",) * 2,
    "feed_norm": ("feed_forward.layer_norm",) * 2,
}


def split_key_value(weights: Weights) -> Weights:
    """Our weights with the joint key and value maps apart."""
    apart = {}
    for name, tensor in weights.items():
        if ".key_value." in name:
            key, value = tensor.chunk(2)
            apart[name.replace("key_value", "key")] = key
            apart[name.replace("key_value", "value")] = value
        else:
            apart[name] = tensor
    return {name: tensor.detach().float().contiguous() for name, tensor in apart.items()}


def parts(name: str) -> tuple[str, int, str, str]:
    """encoder.layers.3.self_norm.weight → encoder, 3, self_norm, weight"""
    stack, _, number, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return stack, int(number), part, kind


def to_pegasus(weights: Weights) -> Weights:
    renamed = {"model.shared.weight": weights["embedding.weight"]}
    for name, tensor in weights.items():
        if ".layers." in name:
            stack, number, part, kind = parts(name)
            renamed[f"model.{stack}.layers.{number}.{PEGASUS[part]}.{kind}"] = tensor
        elif ".norm." in name:
            renamed["model." + name.replace(".norm.", ".layer_norm.")] = tensor
    return renamed


def write_pegasus(folder: Path, bundle: LoadedModel, weights: Weights) -> None:
    model, search = bundle.config.model, bundle.config.search
    special = {
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "forced_eos_token_id": None,
    }
    config = {
        "architectures": ["PegasusForConditionalGeneration"],
        "model_type": "pegasus",
        "vocab_size": len(bundle.tokenizer),
        "d_model": model.width,
        "encoder_layers": model.n_encoder_layers,
        "decoder_layers": model.n_decoder_layers,
        "encoder_attention_heads": model.n_heads,
        "decoder_attention_heads": model.n_heads,
        "encoder_ffn_dim": model.feed_forward,
        "decoder_ffn_dim": model.feed_forward,
        "activation_function": model.activation,
        "scale_embedding": True,
        "tie_word_embeddings": True,
        "dropout": model.dropout,
        "max_position_embeddings": 1024,
        **special,
    }
    generation = {**special, "num_beams": search.beam_size, "length_penalty": search.length_penalty}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", generation)
    safetensors.torch.save_file(to_pegasus(weights), folder / "model.safetensors", {"format": "pt"})


def interleave(tensor: Tensor, dim: int) -> Tensor:
    """[sines | cosines] along one dimension as sine, cosine, sine, cosine …"""
    width = tensor.size(dim)
    order = torch.arange(width).view(2, width // 2).T.reshape(-1)
    return tensor.index_select(dim, order)


def interleave_part(part: str, kind: str, tensor: Tensor) -> Tensor:
    """Permute the width-D side of a map or norm; the heads' and the feed-forward side stay."""
    if part.endswith("norm"):
        return interleave(tensor, 0)
    reads_width = part.rpartition(".")[2] in ("query", "key", "value", "inner")
    if reads_width:
        return interleave(tensor, 1) if kind == "weight" else tensor
    return interleave(tensor, 0)


def to_joeynmt(weights: Weights) -> Weights:
    embedding = interleave(weights["embedding.weight"], 1)
    embedding[[PAD, UNK]] = embedding[[UNK, PAD]]
    names = ("src_embed.lut.weight", "trg_embed.lut.weight", "decoder.output_layer.weight")
    renamed = dict.fromkeys(names, embedding)
    for name, tensor in weights.items():
        if ".layers." in name:
            stack, number, part, kind = parts(name)
            theirs = JOEYNMT[part][stack == "decoder"]
            renamed[f"{stack}.layers.{number}.{theirs}.{kind}"] = interleave_part(part, kind, tensor)
        elif ".norm." in name:
            renamed[name.replace(".norm.", ".layer_norm.")] = interleave(tensor, 0)
    # JoeyNMT keeps its table of 5,000 positions among the weights.
    frequency = torch.exp(torch.arange(0, embedding.size(1), 2) * (-9.210340371976184 / embedding.size(1)))
    angle = torch.arange(5000)[:, None] * frequency
    table = interleave(torch.cat([angle.sin(), angle.cos()], 1), 1)[None]
    return {**renamed, "encoder.pe.pe": table, "decoder.pe.pe": table}


def joeynmt_config(bundle: LoadedModel, model: ModelConfig) -> dict[str, Any]:
    part = {
        "type": "transformer",
        "num_heads": model.n_heads,
        "hidden_size": model.width,
        "ff_size": model.feed_forward,
        "embeddings": {"embedding_dim": model.width, "scale": True},
        "layer_norm": "pre",
        "activation": {"silu": "swish"}.get(model.activation, model.activation),
    }
    side = {"level": "bpe", "tokenizer_type": "sentencepiece", "tokenizer_cfg": {"model_file": TOKENIZER}}
    search, data = bundle.config.search, bundle.config.data
    return {
        "name": "passerelle",
        "joeynmt_version": "2.3.0",
        "model_dir": ".",
        "use_cuda": False,
        "layer_norm_eps": 1e-5,  # not a key of JoeyNMT's: joeynmt_peer.py sets it
        "data": {
            "test": "none",
            "dataset_type": "stream",
            "src": {"lang": data.source_language, **side},
            "trg": {"lang": data.target_language, **side},
        },
        "testing": {"beam_size": search.beam_size, "beam_alpha": search.length_penalty},
        "training": {"batch_size": 1},
        "model": {
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": {**part, "num_layers": model.n_encoder_layers},
            "decoder": {**part, "num_layers": model.n_decoder_layers},
        },
    }


def write_joeynmt(folder: Path, model: Path, bundle: LoadedModel, weights: Weights) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.yaml", joeynmt_config(bundle, bundle.config.model))  # JSON is YAML
    pieces = bundle.tokenizer.pieces(range(len(bundle.tokenizer)))
    pieces[PAD], pieces[UNK] = pieces[UNK], pieces[PAD]
    for side in ("src", "trg"):
        (folder / f"{side}_vocab.txt").write_text("".join(f"{p}\n" for p in pieces), encoding="utf-8")
    shutil.copyfile(model / TOKENIZER, folder / "tokenizer.model")
    torch.save({"model_state": to_joeynmt(weights)}, folder / "best.ckpt")


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def convert(model: Path, out: Path) -> None:
    bundle = load_model_folder(model)
    if bundle.config.model.norm != "pre":
        raise SystemExit("only models with model.norm=pre are converted")
    weights = split_key_value(bundle.model.state_dict())
    write_pegasus(out / "pegasus", bundle, weights)
    write_joeynmt(out / "joeynmt", model, bundle, weights)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder of ours")
    parser.add_argument("out", type=Path, help="where the two folders go")
    arguments = parser.parse_args()
    convert(arguments.model, arguments.out)
