"""Each image draws its own random numbers, whatever images it is together with."""

from dataclasses import replace

import pytest
import torch

from models.draws import dropout, image_generators
from tests.models.test_detector import batch_of, scene


def numbers(batch, use="anchors"):
    return [
        torch.rand(3, generator=generator).tolist() for generator in image_generators(batch, use)
    ]


def test_numbers_belong_to_an_image_and_a_use():
    batch = replace(batch_of(scene(0), scene(1)), draw_seeds=(5, 6))
    both = numbers(batch)
    assert both == [numbers(part)[0] for part in batch.split(2)]
    assert both[0] != both[1]
    assert numbers(batch, "rois") != both


def test_without_seeds_numbers_come_from_the_global_generator():
    batch = batch_of(scene(0))
    torch.manual_seed(1)
    first = numbers(batch)
    assert numbers(batch) != first
    torch.manual_seed(1)
    assert numbers(batch) == first


def test_dropout_of_an_image_is_the_same_alone_and_in_company():
    values = torch.rand(6, 50) + 1
    whole = dropout(values, 0.25, [torch.Generator().manual_seed(seed) for seed in (1, 2)])
    alone = dropout(values[3:], 0.25, [torch.Generator().manual_seed(2)])
    assert torch.equal(whole[3:], alone)


def test_dropout_keeps_the_mean():
    values = torch.ones(100, 100)
    dropped = dropout(values, 0.25, [torch.Generator().manual_seed(0)])
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert abs((dropped == 0).float().mean() - 0.25) < 0.02
    assert dropped.dtype == values.dtype
    assert dropout(values.bfloat16(), 0.25, [torch.Generator()]).dtype == torch.bfloat16
