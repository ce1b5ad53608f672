"""The NumPy runner finds what the detector finds, in every image, for every kind of network."""

import ast
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from data.records import Candidates as TorchCandidates
from data.transforms import PIXELS, pad, to_network
from postprocess.config import PostprocessConfig
from postprocess.pipeline import postprocess
from postprocess.sigma_scale import SigmaScale, scale_sigma
from scripts.engine.detection.detection import detect, load_detector
from scripts.engine.export.describe import describe
from scripts.engine.export.parts import DensePart, HeadPart
from scripts.engine.export.runner.candidates import Candidates, detections_of
from scripts.engine.export.runner.description import Input, Postprocess, SigmaFactors
from scripts.engine.export.runner.detector import ExportedDetector
from scripts.engine.export.runner.image import network_input
from scripts.engine.export.torch_parts import part_of
from tests.networks import KL, KL_HEAD, TINY_RESNET
from tests.scripts.test_detect import MASK, write_checkpoint
from tests.test_house import ROOT, imported, within

FPN = {name: value for name, value in MASK.items() if name != "mask"}
RFCN = {**TINY_RESNET, "roi_head": "rfcn", "roi_rfcn_channels": 32, "roi_pool_size": 3}
NETWORKS = {
    # max pooling rounds boxes to whole px, where the last digit of a box can move a bin: not here
    "VGG-16 with KL Loss": {**KL},
    "R50-FPN with KL Loss": {**FPN, **KL, "roi_class_agnostic": True},
    "KL-RPN": {**TINY_RESNET, "rpn_kind": "kl_rpn", "roi_head": "conv5", "roi_sampling_ratio": 0},
    "a limit of log variances": {**KL, "roi_log_variance_limit": 0.01},
    "R-FCN with KL-RPN": {**RFCN, **KL_HEAD, "rpn_kind": "kl_rpn"},
    "R-FCN, a limit of log variances": {**RFCN, **KL_HEAD, "roi_log_variance_limit": 0.01},
    "R-FCN as released": {**RFCN, "roi_rfcn_pooling": "average", "rpn_anchor_rule": "torchvision"},
    "RoIAlign shifted by half a cell": {"roi_aligned": True, "roi_decode_minus_one": False},
    "precise pooling": {**FPN, "roi_pooling": "precise"},
}
SIZES = ((60, 80), (80, 60), (48, 48), (33, 101), (120, 90))
IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    for seed, size in enumerate(SIZES)
]
CPU = torch.device("cpu")


def loaded_of(folder, fields):
    """An untrained network whose outputs differ from box to box."""
    checkpoint = write_checkpoint(folder, log_variance=False, built=fields)
    loaded = load_detector(checkpoint, CPU)
    torch.manual_seed(1)
    for name, values in loaded.detector.named_parameters():
        if name.rpartition(".")[0].endswith(("class_logits", "offsets", "log_variance", "_maps")):
            values.copy_(torch.randn_like(values) * 0.1)
    return loaded


def eager(loaded):
    """The runner with parts that torch runs as they are."""
    description = describe(loaded, None)
    # parts that are not traced take images of any size
    description = replace(description, input=replace(description.input, least_side=1))
    head = None if description.second.head == "maps" else part_of(HeadPart(loaded.detector))
    return ExportedDetector(description, part_of(DensePart(loaded.detector)), head)


@pytest.mark.parametrize("name", NETWORKS)
def test_boxes_scores_labels_and_sigmas_are_the_detectors(tmp_path, name):
    loaded = loaded_of(tmp_path, NETWORKS[name])
    runner = eager(loaded)
    settings = runner.description.postprocess
    config = PostprocessConfig(**vars(settings))
    pixels = [torch.from_numpy(image).permute(2, 0, 1) for image in IMAGES]
    expected = detect(loaded, pixels, [str(size) for size in SIZES], config, CPU)
    for image, ours in zip(IMAGES, expected, strict=True):
        found = runner(image, score=0.0)
        assert len(found.boxes) == len(ours.boxes) > 3
        np.testing.assert_allclose(found.boxes, ours.boxes.numpy(), rtol=0, atol=1e-3)
        np.testing.assert_allclose(found.scores, ours.scores.numpy(), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(found.labels, ours.labels.numpy())
        assert (found.sigma is None) == (ours.sigma is None)
        if ours.sigma is not None:
            np.testing.assert_allclose(found.sigma, ours.sigma.numpy(), rtol=1e-4, atol=1e-3)
    best = runner(IMAGES[0], score=float(found.scores[0]))
    assert len(best.boxes) <= len(found.boxes)


def random_candidates(seed, count=80):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (count, 2))], axis=1)
    return Candidates(
        boxes=boxes.astype(np.float32),
        scores=random.uniform(0, 1, count).astype(np.float32),
        labels=random.integers(1, 4, count),
        variances=random.uniform(0.01, 2, (count, 4)).astype(np.float32),
        pixel_variances=random.uniform(0.01, 2, (count, 4)).astype(np.float32),
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"suppression": "hard", "sigma_t": 0.02},
        {"suppression": "soft_linear", "score_floor": 0.2},
        {
            "suppression": "soft_gaussian",
            "sigma_t": 0.05,
            "voters": "remaining",
            "max_detections": 9,
        },
        {"suppression": "hard", "sigma_t": 0.5, "voters": "remaining", "voter_iou": 0.3},
    ],
    ids=str,
)
def test_suppression_and_voting_are_those_of_postprocess(changed):
    candidates = random_candidates(seed=0)
    config = PostprocessConfig(score_threshold=0.0, **changed)
    ours = postprocess(torch_candidates(candidates), config)
    settings = replace(Postprocess(score_threshold=0.0), **changed)
    factors = SigmaFactors(edges=(20.0,), factors=((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)))
    found = detections_of(candidates, settings, factors)
    np.testing.assert_allclose(found.boxes, ours.boxes.numpy(), rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.scores, ours.scores.numpy(), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found.labels, ours.labels.numpy())
    scaled = scale_sigma(ours.sigma, ours.boxes, SigmaScale(**vars(factors)))
    np.testing.assert_allclose(found.sigma, scaled.numpy(), rtol=1e-5)


def torch_candidates(candidates):
    columns = {name: torch.from_numpy(value) for name, value in candidates._asdict().items()}
    return TorchCandidates(**columns)


def test_no_candidate_is_no_detection():
    candidates = Candidates(*(column[:0] for column in random_candidates(seed=0)))
    found = detections_of(candidates, Postprocess(sigma_t=0.02), None)
    assert found.boxes.shape == found.sigma.shape == (0, 4)
    with pytest.raises(ValueError, match="predicts no variances"):
        detections_of(candidates._replace(variances=None), Postprocess(sigma_t=0.02), None)


@pytest.mark.parametrize("pixels", ["torchvision", "caffe"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_input_is_that_of_the_transforms(size, pixels):
    convention = PIXELS[pixels]
    config = Input(
        short_side=56,
        long_side=90,
        divisor=16,
        fixed_size=None,
        order=convention.order,
        mean=convention.mean,
        std=convention.std,
    )
    image = IMAGES[SIZES.index(size)]
    expected, _ = to_network(
        torch.from_numpy(image).permute(2, 0, 1), None, short_side=56, long_side=90, pixels=pixels
    )
    found, inside = network_input(image, config)
    np.testing.assert_allclose(found, pad([expected], 16).numpy(), atol=2e-3)
    assert inside == tuple(expected.shape[1:])
    fixed, _ = network_input(image, replace(config, fixed_size=(128, 160)))
    np.testing.assert_array_equal(
        fixed[:, :, : inside[0], : inside[1]], found[:, :, : inside[0], : inside[1]]
    )
    assert fixed.shape == (1, 3, 128, 160)
    with pytest.raises(ValueError, match="larger --size"):
        network_input(image, replace(config, fixed_size=(16, 160)))
    with pytest.raises(ValueError, match="needs 128 px a side"):
        network_input(image, replace(config, least_side=128))
    with pytest.raises(ValueError, match="array \\(height, width, 3\\) of uint8"):
        network_input(image[..., 0], config)


def test_the_runner_needs_numpy_alone():
    """So that its folder can be taken to where there is no torch."""
    package = "scripts.engine.export.runner"
    files = list((ROOT / package.replace(".", "/")).glob("*.py"))
    assert len(files) > 5
    for file in files:
        for name in imported(ast.parse(file.read_text())):
            known = {package, "numpy", *sys.stdlib_module_names}
            assert within(name, known), f"{file.name} imports {name}"
