"""The number of connections fits into the limit on open files."""

import resource

import pytest

from translator.serve.limits import Limits, within_open_files


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "n_connections"),
    [
        (1024, 1 << 20, 4096, 512),
        (1024, 1024, 1024, 512),
        (1024, -1, 4096, 512),
        (80, 80, 80, 32),
        (80, 200, 200, 112),
        (10, 10, 10, 1),
        (-1, -1, -1, 512),
        (1 << 20, 1 << 20, 1 << 20, 512),
    ],
)
def test_there_are_no_more_connections_than_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, n_connections: int
) -> None:
    limit = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda which: limit[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda which, pair: limit.append(pair))
    limits, backlog = within_open_files(Limits(max_requests=7))
    assert limits == Limits(max_requests=7, max_connections=n_connections)
    assert limit[-1] == (raised, hard)
    assert 1 <= backlog <= 256
    assert raised in (-1, 10) or n_connections + 4 * backlog + 32 <= raised
