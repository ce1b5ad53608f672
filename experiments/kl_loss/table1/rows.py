"""KL Loss Table 1: the contribution of KL Loss, soft-NMS and var voting, VGG-16 Faster R-CNN on
MS-COCO.

Two networks, six post-processings. NMS threshold 0.3 is py-faster-rcnn's; soft-NMS is the released
code's Gaussian with sigma 0.5 (docs/kl_loss.md points 23, 24); sigma_t 0.02 and "all boxes vote"
are the paper's (points 18, 20).
"""

from experiments.kl_loss.runs import vgg16_coco, vgg16_coco_kl
from experiments.postprocess import NMS_03, SOFT_NMS, SOFT_VOTE, VOTE_03
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("baseline",                        vgg16_coco,    NMS_03,
        (23.6, 44.6, 22.8, 6.7, 25.9, 36.3, 23.3, 33.6, 34.3)),
    Row("soft-NMS",                        vgg16_coco,    SOFT_NMS,
        (24.8, 45.6, 24.6, 7.6, 27.2, 37.6, 23.4, 39.2, 42.2)),
    Row("KL Loss",                         vgg16_coco_kl, NMS_03,
        (26.4, 47.9, 26.4, 7.4, 29.3, 41.2, 25.2, 36.1, 36.9)),
    Row("KL Loss + var voting",            vgg16_coco_kl, VOTE_03,
        (27.8, 48.0, 28.9, 8.1, 31.4, 42.6, 26.2, 37.5, 38.3)),
    Row("KL Loss + soft-NMS",              vgg16_coco_kl, SOFT_NMS,
        (27.8, 49.0, 28.5, 8.4, 30.9, 42.7, 25.3, 41.7, 44.9)),
    Row("KL Loss + soft-NMS + var voting", vgg16_coco_kl, SOFT_VOTE,
        (29.1, 49.1, 30.4, 8.7, 32.7, 44.3, 26.2, 42.5, 45.5)),
)
# fmt: on

TABLE = Table(
    title="KL Loss Table 1: KL Loss, soft-NMS and var voting, VGG-16 Faster R-CNN, MS-COCO",
    metric="coco",
    columns=("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100"),
    extra=(
        "AP80",
        "AP90",
        "clean_distance",
        "spearman_true",
        "spearman_true_relative",
        "spearman_error",
        "coverage1",
        "coverage2",
        "nll",
    ),
    rows=ROWS,
    comparisons=(
        ("soft-NMS", "baseline"),
        ("KL Loss", "baseline"),
        ("KL Loss + soft-NMS", "KL Loss"),
        ("KL Loss + var voting", "KL Loss"),
        ("KL Loss + soft-NMS + var voting", "KL Loss + soft-NMS"),
        ("KL Loss + soft-NMS + var voting", "baseline"),
    ),
)
