"""CTranslate2: its C++ decoder on our weights, exported by `translator export --format ctranslate2`.

Measured: pieces in to pieces out by `translate_batch`, one call a batch because the limit of the outputs'
length is the call's, all calls handed over at once; text to text with SentencePiece around it. It only
decodes.

Job keys of its own: `threads` is `intra_threads`, `inter_threads` (default 1) the batches at a time,
`compute_type` (float32, int8, int16, …; default: the job's precision).

Settings tried (the same model): int8 decodes nearly twice as fast as float32 on one thread; for two cores,
two `inter_threads` of one thread beat two `intra_threads`. On an AMD Zen 3, float32 takes the same time with
`CT2_USE_MKL` and without, with packed products too; int8 takes 3.5 to 4 times as long with it, packed or not.
Batches of 64 are the fastest in float32, of 32 in int8.
"""

import ctranslate2
from jobs import Job, in_batches, measure_decoding, output_limit, run

Pieces = list[list[str]]


def decode(job: Job) -> Job:
    translator = ctranslate2.Translator(
        job["model"],
        device="cpu",
        compute_type=job.get("compute_type", job["precision"]),
        inter_threads=job.get("inter_threads", 1),
        intra_threads=job["threads"],
    )

    def translate(batches: list[Pieces]) -> Pieces:
        pending = [
            result
            for batch in batches
            for result in translator.translate_batch(
                batch,
                beam_size=job["beam_size"],
                length_penalty=job["length_penalty"],
                max_decoding_length=output_limit(batch, job, end_symbols=0),
                max_batch_size=job["batch_size"],
                asynchronous=True,
            )
        ]
        return [result.result().hypotheses[0] for result in pending]

    return measure_decoding(job, in_batches(job, translate, pieces=True))


if __name__ == "__main__":
    run(decode=decode)
