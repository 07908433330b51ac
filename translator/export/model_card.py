"""The model card: the README.md of an exported folder, with the metadata that the Hugging Face Hub reads."""

from typing import Any

from translator.building import n_parameters
from translator.config import DataConfig
from translator.config.yaml import write_yaml
from translator.model_folder import LoadedModel

_NAMES = {"bleu": "BLEU", "chrf": "chrF", "ter": "TER"}

_CARD = """\
# {name}: {direction}

A small Transformer ({parameters:,} parameters), trained with Passerelle on {corpus}.

## Use

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

tokenizer, model = (auto.from_pretrained("{name}") for auto in (AutoTokenizer, AutoModelForSeq2SeqLM))
batch = tokenizer(["Le chat dort."], padding=True, return_tensors="pt")
print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))
```

The tokenizer normalises its input (apostrophes, spaces, invisible characters) and reads a text in capitals
as a mark and its lower case. The generation settings are those with which the model was evaluated.

## Results
{results}
## Limits

- It translates text like its training data. It has no notion of a document, of rare names, or of what it does
  not know, and it may translate fluently and wrongly.
- Give one sentence at a time, of at most {max_length} tokens. A blank text has no translation, but
  `generate` writes one.
- The length of a translation is limited to {max_length} tokens, whatever the length of its source.

## Data and licence

Trained on {corpus}. {licence}
"""


def model_card(loaded: LoadedModel, name: str) -> str:
    """Return the model card of a model, in Markdown.

    Args:
        loaded: the model.
        name: the name of the exported folder.
    """
    config = loaded.config
    sources = config.data.by_source().values()
    corpus = ", ".join(map(_corpus, sources))
    own = all(source.format == "phrasebook" for source in sources)
    scores = {key: loaded.manifest.get("scores", {}).get("test", {}).get(key) for key in _NAMES}
    scores = {key: score for key, score in scores.items() if score}
    metadata: dict[str, Any] = {
        "language": [config.data.source_language, config.data.target_language],
        "license": "apache-2.0" if own else "other",
        "library_name": "transformers",
        "pipeline_tag": "translation",
    }
    if hub := [source.dataset for source in sources if source.format == "hub" and source.dataset]:
        metadata["datasets"] = hub
    if scores:
        metadata["metrics"] = [*scores]
        metadata["model-index"] = [{"name": name, "results": [_result(config.data, corpus, scores)]}]
    body = _CARD.format(
        name=name,
        direction=config.data.direction,
        parameters=n_parameters(loaded.model),
        corpus=corpus,
        results=_list(scores),
        max_length=config.model.max_length,
        licence="The data, the program and this model are under the Apache License 2.0."
        if own
        else "The licence of these data applies; name it here before publishing the model.",
    )
    return f"---\n{write_yaml(metadata)}---\n\n{body}"


def _corpus(source: DataConfig) -> str:
    if source.format == "phrasebook":
        return "the phrasebook of Passerelle"
    return source.dataset or f"the files {' and '.join(_files(source))}"


def _files(source: DataConfig) -> list[str]:
    train = source.files["train"]
    return [*train.values()] if isinstance(train, dict) else [train]


def _result(data: DataConfig, corpus: str, scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": {"type": "translation", "name": data.direction},
        "dataset": {"type": "test", "name": f"test split of {corpus}", "split": "test"},
        "metrics": [
            {"type": key, "name": _NAMES[key], "value": round(score["score"], 2)}
            | {"args": {"signature": score["signature"]}}
            for key, score in scores.items()
        ],
    }


def _list(scores: dict[str, Any]) -> str:
    if not scores:
        return "\nNot evaluated.\n"
    rows = [
        f"- {_NAMES[key]} {score['score']:.2f} ({score['low']:.2f} to {score['high']:.2f}), "
        f"`{score['signature']}`\n"
        for key, score in scores.items()
    ]
    return f"\nOn the test split, with 95 % intervals and sacreBLEU's signatures:\n\n{''.join(rows)}"
