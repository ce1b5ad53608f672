"""The runner's max pooling is torchvision's rule on the same boxes."""

import numpy as np
import torch

from models.pooling.roi_align import roi_max_pool
from scripts.engine.export.runner.pooling import max_pool


def test_max_pooling_is_the_detectors():
    random = np.random.default_rng(0)
    features = random.standard_normal((3, 9, 12)).astype(np.float32)
    corners = random.uniform(-20, 150, (30, 2))
    boxes = np.concatenate([corners, corners + random.uniform(1, 90, (30, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    rois = torch.from_numpy(np.concatenate([np.zeros((30, 1), np.float32), boxes], axis=1))
    expected = roi_max_pool(torch.from_numpy(features)[None], rois, 3, 1 / 16)
    np.testing.assert_array_equal(max_pool(features, boxes, 16, 3), expected.numpy())
