"""Settings and random candidates that several tests of post-processing share."""

from dataclasses import replace

import torch

from data.records import Candidates
from postprocess.box_voting import BoxVoting
from postprocess.pipeline import PostprocessConfig
from postprocess.qubo import CORRECTED

SOFT = PostprocessConfig(
    suppression="soft_gaussian",
    sigma_t=0.02,
    voters="remaining",
    voter_iou=0.01,
    score_threshold=0.0,
)
HARD = replace(SOFT, suppression="hard")
ALL = replace(SOFT, voters="all", voter_iou=0.0)
SWAPPED = replace(SOFT, swap_y1_x2=True)
GUIDED = PostprocessConfig(suppression="iou_guided", box_voting=BoxVoting(scoring="IOU_AVG"))
QUBO = PostprocessConfig(suppression="qubo_greedy", qubo=CORRECTED, sigma_t=0.02)
TABU = PostprocessConfig(suppression="qubo_tabu", box_voting=BoxVoting(iou=0.5))
COMPARED = (
    GUIDED,
    QUBO,
    TABU,
    PostprocessConfig(suppression="soft_linear", box_voting=BoxVoting(scoring="AVG")),
)


def random_candidates(count, seed, classes=5):
    """Clustered boxes; classes of very different size."""
    generator = torch.Generator().manual_seed(seed)
    center = (
        torch.rand(6, 2, generator=generator)[torch.randint(6, (count,), generator=generator)] * 300
    )
    corner = center + 12 * torch.randn(count, 2, generator=generator)
    boxes = torch.cat([corner, corner + 60 + 30 * torch.rand(count, 2, generator=generator)], dim=1)
    labels = 1 + (classes * torch.rand(count, generator=generator) ** 2).long()
    variances = torch.exp(torch.randn(count, 4, generator=generator))
    return Candidates(
        boxes=boxes,
        scores=torch.rand(count, generator=generator),
        labels=labels,
        variances=variances,
        pixel_variances=9 * variances,
        localization=torch.randn(count, generator=generator),
    )
