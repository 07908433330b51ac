"""Measure how soon `translator serve` answers its page while 12 words are typed; print JSON.

python scripts/typing_test.py --model runs/phrasebook/model

As the page does, it sends the text to /api/translate when no key has been pressed for 200 ms, and drops the
request before. The time from a request to its answer is compared with that of a lone translation of the whole
sentence by the readable search (`--backend torch`).
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from contextlib import suppress
from pathlib import Path

from load_test import serving

from translator.translation.inference import Translator

SENTENCE = "Il fait froid ce matin, mais les enfants jouent dans le jardin."
PAUSE_SECONDS = 0.2  # `PAUSE_MS` of page.js


async def ask(port: int, text: str, latencies: list[float]) -> None:
    """Wait for the page's pause, send a text, and record the time until it is answered."""
    await asyncio.sleep(PAUSE_SECONDS)
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps({"text": text}).encode()
        head = f"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nConnection: close\r\n\r\n".encode() + body)
        answer = await reader.read()
        assert b"200 OK" in answer.split(b"\r\n")[0], answer
        latencies.append(time.perf_counter() - started)
    finally:
        writer.close()


async def type_sentence(port: int, key_seconds: float, latencies: list[float]) -> None:
    """Type the sentence once, with pauses between the keys that last `key_seconds` on average."""
    asking = None
    for n_keys in range(1, len(SENTENCE) + 1):
        if asking is not None and not asking.done():
            asking.cancel()
        asking = asyncio.create_task(ask(port, SENTENCE[:n_keys], latencies))
        await asyncio.sleep(random.lognormvariate(0, 0.6) * key_seconds / 1.2)  # 1.2: the mean
        if asking.done():
            asking.result()
    with suppress(asyncio.CancelledError):
        await asking


def lone_translation(model: Path) -> float:
    """Return the median seconds of a translation by the readable search, after a first one."""
    translator, seconds = Translator.load(model, backend="torch"), []
    for _ in range(21):
        started = time.perf_counter()
        translator.translate(SENTENCE)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--times", type=int, default=5, help="how often the sentence is typed")
    parser.add_argument("--key-seconds", type=float, default=0.2, help="mean time between two keys")
    arguments = parser.parse_args()
    random.seed(1)
    lone = lone_translation(arguments.model)
    latencies: list[float] = []
    with serving(arguments.model) as port:
        asyncio.run(ask(port, SENTENCE, []))  # warm-up: the model in PyTorch is built for the first answer
        for _ in range(arguments.times):
            asyncio.run(type_sentence(port, arguments.key_seconds, latencies))
    percentiles = statistics.quantiles(latencies, n=20)
    result = {
        "answers": len(latencies),
        "p50_ms": round(1000 * percentiles[9], 1),
        "p95_ms": round(1000 * percentiles[18], 1),
        "lone_ms": round(1000 * lone, 1),
        "p95_in_lone_translations": round(percentiles[18] / lone, 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
