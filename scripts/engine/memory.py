"""What happens when an update or a pass does not fit into memory: a sentence, or smaller parts."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from data.records import Batch
from scripts.engine.command import EnvironmentFault
from scripts.engine.full_memory import is_out_of_memory
from scripts.engine.shared_batch import SharedBatch

Result = TypeVar("Result")


class OutOfMemoryFault(EnvironmentFault):
    """The passes of an update or of an evaluation did not fit into memory; no weight was changed,
    so that an update can be made in smaller parts, and the ones before it can be saved.
    """


@dataclass(kw_only=True)
class Splitting:
    """Into how many micro-batches an update is split.

    parts: at most so many. grows: they are doubled when an update does not fit into memory.
    """

    parts: int
    grows: bool = False


def go_on_splitting(splitting: Splitting, before: int | None) -> None:
    """Goes on with the parts of before if they may grow; says so where their number changes.

    Args:
        splitting: what the options say, changed in place.
        before: the parts of the updates so far; None if that is not known.
    """
    if before is None:
        return
    if splitting.grows:
        splitting.parts = max(splitting.parts, before)
    if splitting.parts != before:
        print(
            f"note: an update had {before} forward passes so far and has {splitting.parts} from "
            "now on (--accumulate): the batches and their random draws are the same; rounding, the "
            "losses of masks and IoU-Net and batch norms that are trained are not quite; for the "
            f"same numbers go on with --accumulate {before}"
        )


@contextmanager
def in_words(fault: type[EnvironmentFault], words: Callable[[], str]) -> Iterator[None]:
    """Turns an error of full memory inside into ``fault``, with the sentence of ``words``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise fault(words()) from error


def raising(
    fault: type[EnvironmentFault], step: int, batches: Sequence[Batch]
) -> AbstractContextManager[None]:
    """Turns an error of full memory inside into ``fault`` with one sentence.

    Args:
        fault: OutOfMemoryFault if no weight is changed inside.
        step: the update.
        batches: its micro-batches.
    """
    return in_words(fault, lambda: sentence(step, batches))


def sentence(step: int, batches: Sequence[Batch]) -> str:
    """What did not fit, and what to do.

    Args:
        step: the update.
        batches: its micro-batches.
    """
    largest = max(len(batch.images) for batch in batches)
    at_once = f"{largest} images" if largest > 1 else "one image"
    height, width = batches[0].padded_size
    device = batches[0].images.device
    if largest > 1:
        fewer = (
            f"--accumulate {2 * len(batches)} (the same batch in smaller parts; --auto-accumulate "
            "chooses by itself)"
        )
        batch = ", or a smaller --batch-size (another training, in another --out)"
    else:
        fewer, batch = "smaller images (--short-side of own/*)", ", or a machine with more memory"
    return (
        f"Update {step} does not fit into the memory of {device} with {at_once} at a time, padded "
        f"to {height} x {width} px. Train with {fewer}, with --amp bf16 on CUDA{batch}."
    )


def evaluated_within_memory(batch: Batch, device: torch.device) -> AbstractContextManager[None]:
    """Turns an error of full memory, while a network on ``device`` evaluates a batch, into an
    OutOfMemoryFault with one sentence.
    """
    return in_words(OutOfMemoryFault, lambda: evaluation_sentence(batch, device))


def evaluation_sentence(batch: Batch, device: torch.device) -> str:
    """What did not fit in an evaluation, and what to do."""
    height, width = batch.padded_size
    other = ", or another --device (cpu is slow)" if device.type == "cuda" else ""
    return (
        f"The network does not fit into the memory of {device} with {len(batch.images)} images to "
        f"evaluate, padded to {height} x {width} px. End what else uses that memory, or take a "
        f"machine with more{other}; the same command continues."
    )


def within_memory(
    one_update: Callable[[Sequence[Batch]], Result],
    batch: SharedBatch,
    splitting: Splitting,
    say: Callable[[str], None],
) -> Result:
    """Makes an update, again in twice as many parts each time that it does not fit into memory.

    The parts stay so many. The batch is the same, so the update is, up to what
    ``accumulate_gradients`` says of micro-batches.

    Args:
        one_update: of the micro-batches of this process.
        batch: of the update.
        splitting: whose parts grow, if they may.
        say: prints a line.

    Returns:
        what ``one_update`` returns.

    Raises:
        OutOfMemoryFault: if the parts may not grow, or are single images.
    """
    while True:
        try:
            return one_update(batch.split(splitting.parts))
        except OutOfMemoryFault:
            if not splitting.grows or splitting.parts >= batch.most_images:
                raise
        splitting.parts = min(2 * splitting.parts, batch.most_images)
        gc.collect()  # what the failed passes still hold
        if batch.own.images.device.type == "cuda":
            torch.cuda.empty_cache()
        height, width = batch.own.padded_size
        say(
            f"out of memory with images of {height} x {width} px: from now on an update is split "
            f"into {splitting.parts} forward passes (--auto-accumulate)"
        )
