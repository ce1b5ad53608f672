"""The pooling that a name stands for equals the function of that name."""

import pytest
import torch

from models.pooling.multi_level import multi_level_roi_align
from models.pooling.pool import build_pool, build_position_sensitive_pool
from models.pooling.prroi_pool import multi_level_prroi
from models.pooling.ps_roi_align import ps_roi_align_batched, ps_roi_pool_batched
from models.pooling.roi_align import roi_align_batched, roi_max_pool_batched

RULE = {"sampling_ratio": 2, "aligned": True, "canonical_size": 56.0}
BINS = 2


def maps(strides, channels=4):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, channels, 96 // s, 128 // s, generator=generator) for s in strides)


def boxes():
    corners = torch.rand(2, 5, 2, 2, generator=torch.Generator().manual_seed(1)) * 90
    return corners.sort(2).values.flatten(2)


def test_one_map():
    features = maps((16,))
    align = build_pool("align", output_size=BINS, strides=(16,), **RULE)
    expected = roi_align_batched(
        features[0], boxes(), output_size=BINS, spatial_scale=1 / 16, sampling_ratio=2, aligned=True
    )
    assert torch.equal(align(features, boxes()), expected)
    largest = build_pool("max", output_size=BINS, strides=(16,), **RULE)
    expected = roi_max_pool_batched(features[0], boxes(), output_size=BINS, spatial_scale=1 / 16)
    assert torch.equal(largest(features, boxes()), expected)


def test_the_coarsest_map_of_a_pyramid_is_not_pooled():
    strides = (4, 8, 16, 32, 64)
    features = maps(strides)
    align = build_pool("align", output_size=BINS, strides=strides, **RULE)
    expected = multi_level_roi_align(
        features,
        boxes(),
        output_size=BINS,
        strides=strides[:4],
        sampling_ratio=2,
        aligned=True,
        canonical_size=56.0,
    )
    assert torch.equal(align(features, boxes()), expected)
    assert torch.equal(
        align((*features[:4], torch.full_like(features[4], torch.nan)), boxes()), expected
    )


@pytest.mark.parametrize("strides", [(16,), (4, 8, 16, 32)])
def test_precise_pooling_of_one_map_or_of_a_pyramid(strides):
    features = maps(strides)
    precise = build_pool("precise", output_size=BINS, strides=strides, **RULE)
    expected = multi_level_prroi(
        features, boxes(), output_size=BINS, strides=strides, canonical_size=56.0
    )
    assert torch.equal(precise(features, boxes()), expected)


def test_position_sensitive_pooling():
    features = maps((16,), channels=3 * BINS**2)[0]
    rule = {"output_size": BINS, "stride": 16, "sampling_ratio": 2}
    align = build_position_sensitive_pool("align", **rule)
    expected = ps_roi_align_batched(
        features, boxes(), output_size=BINS, spatial_scale=1 / 16, sampling_ratio=2
    )
    assert torch.equal(align(features, boxes()), expected)
    average = build_position_sensitive_pool("average", **rule)
    assert torch.equal(
        average(features, boxes()),
        ps_roi_pool_batched(features, boxes(), output_size=BINS, spatial_scale=1 / 16),
    )
