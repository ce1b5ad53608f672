"""What is an error of full memory, and how an update is split until it fits."""

import pytest
import torch

from data.records import Batch
from scripts.engine.command import EnvironmentFault
from scripts.engine.full_memory import is_out_of_memory
from scripts.engine.memory import (
    OutOfMemoryFault,
    Splitting,
    evaluated_within_memory,
    go_on_splitting,
    raising,
    sentence,
    within_memory,
)
from scripts.engine.shared_batch import SharedBatch

CPU = torch.device("cpu")


def batch_of(images):
    return Batch(
        images=torch.zeros(images, 3, 32, 64),
        image_sizes=((30, 60),) * images,
        original_sizes=((30, 60),) * images,
        image_ids=tuple(range(images)),
    )


def shared(images):
    return SharedBatch(own=batch_of(images), of_images=images, most_images=images)


def needing(most, tried):
    """An update that fits ``most`` images at a time; notes the sizes of its micro-batches."""

    def one_update(batches):
        tried.append([len(batch.images) for batch in batches])
        with raising(OutOfMemoryFault, 3, batches):
            if max(tried[-1]) > most:
                raise torch.OutOfMemoryError("full")
        return "made"

    return one_update


def test_the_allocator_of_the_cpu_is_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for ..."))
    assert not is_out_of_memory(RuntimeError("DataLoader worker exited"))
    assert not is_out_of_memory(ValueError("CUDA error: out of memory"))


def test_parts_double_until_they_fit_and_stay(capsys):
    splitting, tried = Splitting(parts=1, grows=True), []
    assert within_memory(needing(2, tried), shared(6), splitting, print) == "made"
    assert tried == [[6], [3, 3], [2, 2, 2]]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "32 x 64 px: from now on an update is split into 4 forward passes" in lines[1]
    tried.clear()
    within_memory(needing(2, tried), shared(6), splitting, print)
    assert tried == [[2, 2, 2]]


def test_single_images_are_the_end():
    splitting, tried = Splitting(parts=1, grows=True), []
    with pytest.raises(OutOfMemoryFault, match=r"one image at a time.*--short-side.*--amp bf16"):
        within_memory(needing(0, tried), shared(3), splitting, print)
    assert tried == [[3], [2, 1], [1, 1, 1]]


def test_parts_do_not_grow_unasked():
    tried = []
    with pytest.raises(EnvironmentFault, match=r"Update 3 .* 4 images .*--accumulate 2 "):
        within_memory(needing(2, tried), shared(4), Splitting(parts=1), print)
    assert tried == [[4]]


def test_the_sentence_names_the_largest_part():
    assert "with 2 images at a time, padded to 32 x 64 px" in sentence(0, batch_of(3).split(2))


@pytest.mark.parametrize("full", [torch.OutOfMemoryError("full"), MemoryError()])
def test_an_evaluation_without_memory_is_one_sentence(full):
    what = "does not fit into the memory of cpu with 3 images to evaluate, padded to 32 x 64 px"
    with pytest.raises(OutOfMemoryFault, match=what), evaluated_within_memory(batch_of(3), CPU):
        raise full
    with pytest.raises(ZeroDivisionError), evaluated_within_memory(batch_of(3), CPU):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("given", "before", "grows", "then"), [(2, 2, False, 2), (2, 4, True, 4), (2, None, False, 2)]
)
def test_parts_that_stay_are_not_spoken_of(capsys, given, before, grows, then):
    splitting = Splitting(parts=given, grows=grows)
    go_on_splitting(splitting, before)
    assert splitting.parts == then
    assert not capsys.readouterr().out


def test_other_parts_than_before_are_said(capsys):
    splitting = Splitting(parts=1)
    go_on_splitting(splitting, 4)
    assert splitting.parts == 1
    assert "had 4 forward passes so far and has 1 from now on" in capsys.readouterr().out
