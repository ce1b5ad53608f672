"""Runs a function in several processes at once, as torchrun starts them."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch

LONGEST_S = 240.0


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def variables(rank: int, count: int, port: int) -> dict[str, str]:
    """What torchrun puts into the environment of process ``rank``."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def together(count: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``work`` returns in each of ``count`` processes; its error if there is one.

    ``work`` is a function of a module below tests/ that has no fixtures.
    """
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    port = free_port()
    processes = [
        context.Process(target=_work, args=(rank, count, port, answers, work, arguments))
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    found = dict(answers.get(timeout=LONGEST_S) for _ in processes)
    for process in processes:
        process.join(timeout=LONGEST_S)
    return [found[rank] for rank in range(count)]


def _work(
    rank: int,
    count: int,
    port: int,
    answers: Any,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    os.environ.update(variables(rank, count, port))
    torch.set_num_threads(1)
    try:
        answers.put((rank, work(*arguments)))
    except Exception as error:
        traceback.print_exc()
        answers.put((rank, error))
