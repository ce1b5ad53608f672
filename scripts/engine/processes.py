"""Several processes that do one piece of work together, as torchrun starts them.

Without torchrun there is one process, and everything here does nothing.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from data.sampler import WHOLE, Share
from scripts.engine.command import EnvironmentFault, LostProcess

Value = TypeVar("Value")
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE")  # that torchrun sets for each process
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")  # where the processes meet
TIMEOUT_S = 1800  # without an answer of another process
# torch's words where it does not raise a DistError
LOST = ("onnection closed", "onnection reset", "roken pipe", "imed out", "pplication timeout")


def is_started_by_torchrun(variables: Mapping[str, str]) -> bool:
    """Whether environment variables are those of one of several processes, or of one of one.

    Raises:
        ValueError: some are there and others are missing.
    """
    if not any(name in variables for name in RANKS):
        return False
    missing = [name for name in (*RANKS, *ADDRESS) if name not in variables]
    if missing:
        there = ", ".join(name for name in RANKS if name in variables)
        raise ValueError(
            f"The environment has {there} and lacks {', '.join(missing)}; start several processes "
            "with `torchrun --nproc-per-node N -m scripts...`, or unset these variables for one."
        )
    return True


@contextlib.contextmanager
def joined(device: str, *, timeout_s: float = TIMEOUT_S) -> Iterator[Share]:
    """A block in which the processes that torchrun started work together; alone without torchrun.

    Only the first process prints; errors and warnings on stderr come from all of them.

    Args:
        device: "auto", "cpu" or "cuda"; each process gets the GPU of its number.
        timeout_s: after which a process that does not answer is given up.

    Raises:
        ValueError: if a process has no GPU.
        EnvironmentFault: if the processes do not find each other.
    """
    if not is_started_by_torchrun(os.environ):
        yield WHOLE
        return
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        take_gpu(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    try:
        store, rank, count = next(rendezvous("env://", timeout=timedelta(seconds=timeout_s)))
        dist.init_process_group(
            backend,
            store=of_this_start(store),
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=timeout_s),
        )
    except (RuntimeError, ValueError) as error:
        raise EnvironmentFault(
            f"The {os.environ['WORLD_SIZE']} processes do not find each other at "
            f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']} ({error}); is the port free, "
            "and does every machine reach it?"
        ) from error
    try:
        with contextlib.ExitStack() as stack:
            if not is_first():
                silence = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(silence))
            yield share()
    finally:
        dist.destroy_process_group()


def of_this_start(store: dist.Store) -> dist.Store:
    """The store in which the processes of one machine find each other, without what those before a
    restart have left there: torchrun keeps one store for all its starts.

    On several machines the numbers of restarts differ; there TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    gives each start a store of its own (docs/scaling.md).
    """
    if os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return store
    return dist.PrefixStore(f"start-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def take_gpu(number: int) -> None:
    """Makes a GPU this process's own.

    Raises:
        ValueError: the machine has fewer.
    """
    if number >= torch.cuda.device_count():
        raise ValueError(
            f"Process {number} of this machine has no GPU: there are {torch.cuda.device_count()}. "
            "Start as many processes as there are GPUs, or use --device cpu."
        )
    torch.cuda.set_device(number)


def are_several() -> bool:
    """Whether this process works together with others."""
    return dist.is_available() and dist.is_initialized()


def share() -> Share:
    """Which part of the work is this process's."""
    if not are_several():
        return WHOLE
    return Share(rank=dist.get_rank(), of=dist.get_world_size())


def is_first() -> bool:
    """Whether this is the process that writes files, prints and scores."""
    return share().rank == 0


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """A block that the first process runs before the others, which find what it has made."""
    if are_several() and not is_first():
        barrier()
    try:
        yield
    finally:
        if are_several() and is_first():
            barrier()


def barrier() -> None:
    """Waits for all processes."""
    gathered(None)


def gathered(value: Value) -> list[Value]:
    """The values of all processes, of the first one first."""
    if not are_several():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    with lost_processes():
        dist.all_gather_object(values, value)
    return values


def joined_lists(items: list[Value]) -> list[Value]:
    """The items of all processes in one list, those of the first process first."""
    return [item for part in gathered(items) for item in part]


def said_by_first(work: Callable[[], Value]) -> Value:
    """What ``work`` returns in the first process, in all of them; it runs there alone.

    Raises:
        LostProcess: in the others, if it fails there.
    """
    if not are_several():
        return work()
    answer: Any = None
    try:
        if is_first():
            answer = [work()]
    finally:
        answers = gathered(answer)
    if answers[0] is None:
        raise LostProcess("Process 0 cannot go on; it has said why.")
    return answers[0][0]


def summed(values: torch.Tensor) -> torch.Tensor:
    """The sum over all processes, in place."""
    if are_several():
        dist.all_reduce(values)
    return values


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a process says before an update.

    wants_stop: a signal has arrived. has_failed: there is no batch. images: that count. skipped:
    that could not be read. height, width: of the padded images, px.
    """

    wants_stop: bool
    has_failed: bool
    images: int
    skipped: int
    height: int
    width: int


def exchanged(report: Report) -> list[Report]:
    """The reports of all processes, in one exchange between the hosts."""
    if not are_several():
        return [report]
    own = torch.tensor(list(vars(report).values()), dtype=torch.int64)
    rows = own.new_empty(dist.get_world_size(), len(own))
    with lost_processes():
        dist.all_gather(list(rows), own)
    return [
        Report(
            wants_stop=bool(stop),
            has_failed=bool(failed),
            images=images,
            skipped=skipped,
            height=height,
            width=width,
        )
        for stop, failed, images, skipped, height, width in rows.tolist()
    ]


@contextlib.contextmanager
def lost_processes() -> Iterator[None]:
    """Turns torch's error about another process into a sentence.

    Raises:
        LostProcess: another process has ended or does not answer.
    """
    try:
        yield
    except RuntimeError as error:
        known = isinstance(error, dist.DistError) or any(word in str(error) for word in LOST)
        if isinstance(error, EnvironmentFault) or not are_several() or not known:
            raise
        raise LostProcess(
            f"Another of the {dist.get_world_size()} processes has ended or does not answer "
            f"({first_words(error)}); what it printed says why. The same command continues from "
            "the last checkpoint."
        ) from error


def first_words(error: Exception) -> str:
    """What torch says about a lost process, without its advice."""
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line.partition(". This is")[0]
