"""KL Loss Table 1: the contribution of KL Loss, soft-NMS and var voting, VGG-16 Faster R-CNN on MS-COCO.

Two networks, six post-processings. NMS threshold 0.3 is py-faster-rcnn's; soft-NMS is the released code's Gaussian
with sigma 0.5 (../README.md points 23, 24); sigma_t 0.02 and "all boxes vote" are the paper's (points 18, 20).
"""

from dataclasses import replace

from experiments.kl_loss.runs import vgg16_coco, vgg16_coco_kl
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig

TITLE = "KL Loss Table 1: KL Loss, soft-NMS and var voting, VGG-16 Faster R-CNN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR1", "AR10", "AR100")
EXTRA_COLUMNS = ("AP80", "AP90", "clean_distance", "spearman_true", "spearman_true_relative", "spearman_error",
                 "coverage1", "coverage2", "nll")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3)
SOFT_NMS = PostprocessConfig(suppression="soft_gaussian", soft_nms_sigma=0.5, score_floor=0.001)

ROWS = (
    Row(label="baseline", run=vgg16_coco, postprocess=NMS, published=published("kl_loss_table1", 0)),
    Row(label="soft-NMS", run=vgg16_coco, postprocess=SOFT_NMS, published=published("kl_loss_table1", 1)),
    Row(label="KL Loss", run=vgg16_coco_kl, postprocess=NMS, published=published("kl_loss_table1", 2)),
    Row(label="KL Loss + var voting", run=vgg16_coco_kl, postprocess=replace(NMS, sigma_t=0.02),
        published=published("kl_loss_table1", 3)),
    Row(label="KL Loss + soft-NMS", run=vgg16_coco_kl, postprocess=SOFT_NMS, published=published("kl_loss_table1", 4)),
    Row(label="KL Loss + soft-NMS + var voting", run=vgg16_coco_kl, postprocess=replace(SOFT_NMS, sigma_t=0.02),
        published=published("kl_loss_table1", 5)),
)
# what the paper reads from the table: (row, minus row)
COMPARISONS = (
    ("soft-NMS", "baseline"), ("KL Loss", "baseline"), ("KL Loss + soft-NMS", "KL Loss"),
    ("KL Loss + var voting", "KL Loss"), ("KL Loss + soft-NMS + var voting", "KL Loss + soft-NMS"),
    ("KL Loss + soft-NMS + var voting", "baseline"),
)  # fmt: skip
