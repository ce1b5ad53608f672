"""The pipeline against a plain double loop in Python, on random candidates."""

import math

import pytest
import torch

from postprocess.pipeline import AUTHOR_RELEASE, PostprocessConfig, postprocess
from tests.postprocess.cases import ALL, COMPARED, SOFT, random_candidates


def plain_iou(a, b):
    """IoU of two boxes given as lists."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inner = max(w, 0.0) * max(h, 0.0)
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def plain_class(boxes, scores, variances, config):
    """Algorithm 1 as the paper and the released code write it: one loop over winners, one over the
    others.
    """
    scores, remaining, out = list(scores), list(range(len(boxes))), []
    while remaining:
        winner = max(remaining, key=lambda j: (scores[j], -j))
        iou = [plain_iou(boxes[winner], box) for box in boxes]
        voters = range(len(boxes)) if config.voters == "all" else remaining
        voters = [j for j in voters if j == winner or iou[j] > config.voter_iou]
        voted = []
        for q in range(4):
            weights = [
                math.exp(-((1 - iou[j]) ** 2) / config.sigma_t) / variances[j][q] for j in voters
            ]
            voted.append(
                sum(w * boxes[j][q] for w, j in zip(weights, voters, strict=True)) / sum(weights)
            )
        out.append((winner, scores[winner], voted))
        remaining.remove(winner)
        for j in list(remaining):
            if config.suppression == "hard":
                if iou[j] > config.iou_threshold:
                    remaining.remove(j)
                continue
            if config.suppression == "soft_linear":
                scores[j] *= 1 - iou[j] if iou[j] > config.iou_threshold else 1
            else:
                scores[j] *= math.exp(-(iou[j] ** 2) / config.soft_nms_sigma)
            if iou[j] > 0 and scores[j] < config.score_floor:
                remaining.remove(j)
    return out


def plain_image(candidates, config):
    """Detections of one image as (candidate, score, voted box), by the plain loop in each class."""
    out = []
    for label in candidates.labels.unique().tolist():
        rows = (
            (candidates.labels == label) & (candidates.scores > config.score_threshold)
        ).nonzero()[:, 0]
        columns = (candidates.boxes, candidates.scores, candidates.variances)
        kept = plain_class(*(column[rows].double().tolist() for column in columns), config)
        out += [(rows[index].item(), score, box) for index, score, box in kept]
    return sorted(out, key=lambda entry: (-entry[1], entry[0]))[: config.max_detections]


@pytest.mark.parametrize("suppression", ["hard", "soft_linear", "soft_gaussian"])
@pytest.mark.parametrize("voters", ["all", "remaining"])
@pytest.mark.parametrize("max_detections", [7, 1000])
def test_equals_the_plain_double_loop(suppression, voters, max_detections):
    config = PostprocessConfig(
        suppression=suppression,
        sigma_t=0.05,
        voters=voters,
        voter_iou=0.1,
        score_floor=0.01,
        max_detections=max_detections,
    )
    images = [random_candidates(count, seed) for seed, count in enumerate((90, 0, 1, 40))]
    for found, image in zip(postprocess(images, config), images, strict=True):
        expected = plain_image(image, config)
        rows = torch.tensor([row for row, _, _ in expected], dtype=torch.int64)
        torch.testing.assert_close(found.scores, torch.tensor([score for _, score, _ in expected]))
        assert found.labels.equal(image.labels[rows])
        boxes = torch.tensor([box for _, _, box in expected]).reshape(-1, 4)
        torch.testing.assert_close(found.boxes, boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(found.sigma, image.pixel_variances[rows].sqrt())


def test_a_batch_is_its_images_one_by_one():
    images = [
        random_candidates(count, seed, classes=9) for seed, count in enumerate((60, 3, 0, 200))
    ]
    for config in (PostprocessConfig(), SOFT, ALL, AUTHOR_RELEASE, *COMPARED):
        for found, image in zip(postprocess(images, config), images, strict=True):
            alone = postprocess(image, config)
            assert found.labels.equal(alone.labels)
            assert found.scores.equal(alone.scores)
            torch.testing.assert_close(found.boxes, alone.boxes)
            torch.testing.assert_close(found.sigma, alone.sigma)


def test_permuting_candidates_changes_nothing():
    image = random_candidates(80, 5)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(6))
    for config in (PostprocessConfig(), SOFT, ALL, *COMPARED):
        a, b = postprocess(image, config), postprocess(image.select(order), config)
        assert a.labels.equal(b.labels)
        torch.testing.assert_close(a.scores, b.scores)
        torch.testing.assert_close(a.boxes, b.boxes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu():
    image = random_candidates(300, 11)
    for config in (PostprocessConfig(), SOFT, ALL, *COMPARED):
        cpu, cuda = postprocess(image, config), postprocess(image.to("cuda"), config)
        assert cuda.boxes.is_cuda
        assert cuda.labels.cpu().equal(cpu.labels)
        torch.testing.assert_close(cuda.scores.cpu(), cpu.scores)
        torch.testing.assert_close(cuda.boxes.cpu(), cpu.boxes, atol=1e-3, rtol=0)


def test_voting_in_small_chunks_changes_nothing(monkeypatch):
    image = random_candidates(120, 12)
    whole = postprocess(image, ALL)
    monkeypatch.setattr("postprocess.groups.CHUNK", 100)
    torch.testing.assert_close(postprocess(image, ALL).boxes, whole.boxes)
