"""RoIAlign on a pyramid against torchvision, and which level a RoI is pooled from."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from models.pooling import multi_level
from models.pooling import roi_align as roi_align_module
from models.pooling.multi_level import level_of, multi_level_roi_align

STRIDES = (4, 8, 16, 32)


def maps_of(size=(96, 128), channels=3, images=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(
            images, channels, -(-size[0] // s), -(-size[1] // s), generator=generator, dtype=dtype
        )
        for s in STRIDES
    ]


def boxes_of(count=60, images=2):
    """From under one cell to larger than the image, some of them outside."""
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(images, count, 2, generator=generator) * 120 - 10
    return torch.cat(
        [corner, corner + torch.rand(images, count, 2, generator=generator) ** 3 * 150], dim=-1
    )


def square(side):
    return torch.tensor([0.0, 0.0, side, side])


def test_levels_of_squares():
    """Eq. 1: 224 px is P4 (index 2 of P2 .. P5), half of it P3, twice P5; the ends take the
    rest."""
    sides = (0.0, 10.0, 111.9, 112.0, 223.9, 224.0, 447.9, 448.0, 2000.0)
    assert level_of(torch.stack([square(s) for s in sides]), levels=4).tolist() == [
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        3,
        3,
    ]
    assert level_of(square(56.0), levels=4, canonical_size=56.0) == 2
    assert level_of(torch.zeros(2, 0, 4), levels=4).shape == (2, 0)
    assert level_of(square(1000.0), levels=1, canonical_level=0) == 0


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_values_and_gradients_are_torchvisions(samples):
    maps, boxes = [m.requires_grad_() for m in maps_of()], boxes_of()
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 5, samples, canonical_scale=56)
    expected = theirs({str(i): m for i, m in enumerate(maps)}, list(boxes), [(96, 128)] * 2)
    found = multi_level_roi_align(maps, boxes, 5, STRIDES, samples, canonical_size=56)
    assert found.shape == (2, 60, 3, 5, 5)
    torch.testing.assert_close(found.flatten(0, 1), expected, atol=2e-5, rtol=1e-4)
    weight = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, maps, weight)
    for ours, other in zip(
        torch.autograd.grad(found, maps, weight.reshape(found.shape)), wanted, strict=True
    ):
        torch.testing.assert_close(ours, other, atol=1e-4, rtol=1e-4)
    assert len(set(level_of(boxes, levels=4, canonical_size=56).flatten().tolist())) >= 3


@pytest.mark.parametrize("aligned", [False, True])
def test_one_level_is_roi_align(aligned):
    (features, *_), boxes = maps_of(), boxes_of()
    rois = torch.cat([torch.arange(2.0).repeat_interleave(60)[:, None], boxes.flatten(0, 1)], dim=1)
    expected = roi_align(features, rois, 7, 1 / 4, 2, aligned)
    torch.testing.assert_close(
        multi_level_roi_align([features], boxes, 7, (4,), 2, aligned).flatten(0, 1),
        expected,
        atol=2e-5,
        rtol=1e-4,
    )


def test_gradient_in_double():
    maps = [
        m.requires_grad_() for m in maps_of((16, 24), channels=2, images=1, dtype=torch.float64)
    ]
    boxes = torch.tensor([[[1.0, 2, 9, 12], [0, 0, 24, 16], [3, 3, 3, 3]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *m: multi_level_roi_align(m, boxes, 2, STRIDES, 2, canonical_size=8), maps
    )


def test_nothing_in_nothing_out_and_what_is_refused():
    maps = maps_of()
    assert multi_level_roi_align(maps, torch.zeros(2, 0, 4), 7, STRIDES).shape == (2, 0, 3, 7, 7)
    with pytest.raises(ValueError, match="1 of 2 RoIs given to RoI pooling are not finite"):
        multi_level_roi_align(
            maps, torch.tensor([[[0.0, 0, 9, 9]], [[0, 0, float("nan"), 9]]]), 7, STRIDES
        )
    with pytest.raises(ValueError, match="sampling_ratio is 0"):
        multi_level_roi_align(maps, boxes_of(), 7, STRIDES, 0)


def test_levels_beyond_the_strides_are_not_read():
    maps, boxes = maps_of(), boxes_of()
    more = [*maps, torch.full((2, 3, 2, 2), float("nan"))]
    assert torch.equal(
        multi_level_roi_align(more, boxes, 3, STRIDES),
        multi_level_roi_align(maps, boxes, 3, STRIDES),
    )


def test_what_a_gpu_computes_is_the_same(monkeypatch):
    """One table of all levels, and all cells that a bin may read, without waiting."""
    maps, boxes = [m.requires_grad_() for m in maps_of()], boxes_of()
    pooled = []
    for on_cpu in (True, False):
        for module in (multi_level, roi_align_module):
            monkeypatch.setattr(module, "on_cpu", lambda values, on_cpu=on_cpu: on_cpu)
        found = multi_level_roi_align(maps, boxes, 5, STRIDES, canonical_size=56)
        pooled.append((found, *torch.autograd.grad(found.square().sum(), maps)))
    torch.testing.assert_close(*pooled, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_rounds_the_features_and_nothing_else(dtype):
    """Pooling rounded maps in float32 and rounding the result: a rounded weight or coordinate would
    show."""
    maps, boxes = [m.to(dtype) for m in maps_of()], boxes_of()
    found = multi_level_roi_align(maps, boxes, 5, STRIDES, canonical_size=56)
    assert found.dtype == dtype
    exact = multi_level_roi_align([m.float() for m in maps], boxes, 5, STRIDES, canonical_size=56)
    assert torch.equal(found, exact.to(dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_host_does_not_wait():
    maps, boxes = [m.cuda().requires_grad_() for m in maps_of()], boxes_of().cuda()
    multi_level_roi_align(maps, boxes, 5, STRIDES).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        multi_level_roi_align(maps, boxes, 5, STRIDES).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
