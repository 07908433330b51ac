"""This project, measured as its peers are: the whole training loop, and the search behind `translate`.

In our own environment, or with another checkout of this project (`PYTHONPATH`). Measured in decoding:
`Translator.search`, ids to ids, or `Translator.translate`, text to text, by lines as the peers do it; the
longest output is a matter of each sentence here and of each batch for the peers. For training see
`passerelle_training.py`.

Job keys of its own: in decoding `precision` may be int8.
"""

import os
from typing import Any

from jobs import Job, measure_decoding, run, tune_malloc


def train(job: Job) -> Job:
    import passerelle_training  # needs Lightning, which decoding does not

    return passerelle_training.train(job)


def decode(job: Job) -> Job:
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    tune_malloc()  # as `translator translate` does
    from translator import Translator

    translator = Translator.load(job["model"], precision=job["precision"], split_sentences="never")
    options, size = translator.options(job["beam_size"]), job["batch_size"]

    def translate(sources: list[Any]) -> list[Any]:
        if job.get("text"):
            found = translator.translate(sources, beam_size=job["beam_size"], batch_size=size)
            return [translation.text for translation in found]
        rows = [row[:-1] for row in sources]  # we add the end symbol ourselves
        results = translator.search(rows, options, batch_size=size)
        return [list(result.hypotheses[0].ids) for result in results]

    return measure_decoding(job, translate)


if __name__ == "__main__":
    run(train=train, decode=decode)
