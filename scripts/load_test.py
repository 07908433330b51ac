"""Load test of `translator serve` on loopback, with and without batching; prints JSON.

python scripts/load_test.py --model runs/phrasebook/model --clients 64 --seconds 30

Each client keeps one connection open and requests the next sentence as soon as it has received the previous
translation. The sentences are the phrasebook's `test` split. Clients and server share this machine's cores.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from translator.data import phrasebook


async def client(port: int, texts: list[str], until: float, latencies: list[float], problems: Counter[str]):
    """Send requests until the time is up; record the latencies, and count the errors."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    number = 0
    while time.perf_counter() < until:
        body = json.dumps({"q": texts[number % len(texts)], "source": "fr", "target": "en"}).encode()
        number += 1
        head = "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        started = time.perf_counter()
        try:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = answer.lower().split("\r\n")
            [length] = [line.split(":")[1] for line in lines if line.startswith("content-length:")]
            found = json.loads(await reader.readexactly(int(length)))
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            problems[type(error).__name__] += 1
            break
        latencies.append(time.perf_counter() - started)
        if " 200 " not in answer.split("\r\n")[0] or not found.get("translatedText"):
            problems[answer.split("\r\n")[0]] += 1
    writer.close()


async def load(port: int, n_clients: int, seconds: float, texts: list[str]) -> dict[str, Any]:
    """Run all clients for some seconds."""
    latencies: list[float] = []
    problems: Counter[str] = Counter()
    started = time.perf_counter()
    shards = [texts[i::n_clients] for i in range(n_clients)]
    await asyncio.gather(*(client(port, shard, started + seconds, latencies, problems) for shard in shards))
    took = time.perf_counter() - started
    percentiles = statistics.quantiles(latencies, n=20)
    return {
        "answers": len(latencies),
        "errors": dict(problems),
        "sentences_per_second": round(len(latencies) / took, 1),
        "p50_ms": round(1000 * percentiles[9]),
        "p95_ms": round(1000 * percentiles[18]),
    }


@contextmanager
def serving(model: Path, *options: str) -> Iterator[int]:
    """Start a service, yield its port, and stop it."""
    command = [sys.executable, "-m", "translator", "serve", "--port", "0", "--model", str(model), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stderr is not None
        for line in server.stderr:
            if line.startswith("serving "):
                break
        else:
            sys.exit("the service did not start")
        yield int(line.split()[5].rpartition(":")[2])
        server.terminate()
        if server.wait(60):
            sys.exit(f"the service ended with {server.returncode}")


def measure(batch_tokens: int, arguments: argparse.Namespace, texts: list[str]) -> dict[str, Any]:
    """Start a service, run the load test, and stop the service."""
    with serving(arguments.model, "--batch-tokens", str(batch_tokens)) as port:
        asyncio.run(load(port, arguments.clients, 2, texts))  # warm-up
        found = asyncio.run(load(port, arguments.clients, arguments.seconds, texts))
    return {"batch_tokens": batch_tokens, **found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--batch-tokens", type=int, nargs="+", default=[500, 1])
    arguments = parser.parse_args()
    texts = [pair["fr"] for pair in phrasebook.pairs("test")]
    for batch_tokens in arguments.batch_tokens:
        print(json.dumps(measure(batch_tokens, arguments, texts)), flush=True)


if __name__ == "__main__":
    main()
