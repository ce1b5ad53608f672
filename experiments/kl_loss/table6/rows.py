"""KL Loss Table 6: Fast R-CNN and Faster R-CNN with a ResNet-50-FPN, MS-COCO 2017.

The paper cites Detectron's model zoo for the baselines and IoU-Net for its rows; all are computed here. IoU-Net's
Faster R-CNN is trained as a whole, with precise RoI pooling; the Fast R-CNN row's IoU head alone, on the finished
baseline (2x). Soft-NMS is Gaussian with sigma 0.5 in all rows, NMS threshold 0.5 is Detectron's.
"""

from dataclasses import replace

from experiments.kl_loss.runs import (
    r50_fpn_1x,
    r50_fpn_2x,
    r50_fpn_fast_1x,
    r50_fpn_fast_2x,
    r50_fpn_fast_iou,
    r50_fpn_fast_kl,
    r50_fpn_iou,
    r50_fpn_kl,
)
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement

TITLE = "KL Loss Table 6: Fast R-CNN and Faster R-CNN, ResNet-50-FPN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
EXTRA_COLUMNS = ("AP80", "AP90", "clean_distance", "spearman_true", "spearman_error", "coverage1", "coverage2", "nll")
FAST, FASTER = "fast R-CNN", "Faster R-CNN"
ZOO, IOU_NET = "Detectron's model zoo", "IoU-Net, on its own baseline"

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.5)
SOFT_NMS = PostprocessConfig(suppression="soft_gaussian", soft_nms_sigma=0.5, score_floor=0.001)
IOU_NMS = PostprocessConfig(suppression="iou_guided", iou_threshold=0.5)
VOTE = replace(NMS, sigma_t=0.02)
SOFT_VOTE = replace(SOFT_NMS, sigma_t=0.02)

ROWS = (
    Row(group=FAST, label="baseline (1x schedule)", run=r50_fpn_fast_1x, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table6", 0)),
    Row(group=FAST, label="baseline (2x schedule)", run=r50_fpn_fast_2x, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table6", 1)),
    Row(group=FAST, label="IoU-NMS", run=r50_fpn_fast_iou, postprocess=IOU_NMS, cited=IOU_NET,
        published=published("kl_loss_table6", 2)),
    Row(group=FAST, label="soft-NMS", run=r50_fpn_fast_2x, postprocess=SOFT_NMS,
        published=published("kl_loss_table6", 3)),
    Row(group=FAST, label="KL Loss", run=r50_fpn_fast_kl, postprocess=NMS, published=published("kl_loss_table6", 4)),
    Row(group=FAST, label="KL Loss + var voting", run=r50_fpn_fast_kl, postprocess=VOTE,
        published=published("kl_loss_table6", 5)),
    Row(group=FAST, label="KL Loss + var voting + soft-NMS", run=r50_fpn_fast_kl, postprocess=SOFT_VOTE,
        published=published("kl_loss_table6", 6)),
    Row(group=FASTER, label="baseline (1x schedule)", run=r50_fpn_1x, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table6", 7)),
    Row(group=FASTER, label="IoU-Net", run=r50_fpn_iou, postprocess=NMS, cited=IOU_NET,
        published=published("kl_loss_table6", 8)),
    Row(group=FASTER, label="IoU-Net + IoU-NMS", run=r50_fpn_iou, postprocess=IOU_NMS, cited=IOU_NET,
        published=published("kl_loss_table6", 9)),
    Row(group=FASTER, label="baseline (2x schedule)", run=r50_fpn_2x, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table6", 10)),
    Row(group=FASTER, label="IoU-Net + IoU-NMS + Refine", run=r50_fpn_iou, postprocess=IOU_NMS, refine=Refinement(),
        cited=IOU_NET, published=published("kl_loss_table6", 11)),
    Row(group=FASTER, label="soft-NMS", run=r50_fpn_2x, postprocess=SOFT_NMS,
        published=published("kl_loss_table6", 12)),
    Row(group=FASTER, label="KL Loss", run=r50_fpn_kl, postprocess=NMS, published=published("kl_loss_table6", 13)),
    Row(group=FASTER, label="KL Loss + var voting", run=r50_fpn_kl, postprocess=VOTE,
        published=published("kl_loss_table6", 14)),
    Row(group=FASTER, label="KL Loss + var voting + soft-NMS", run=r50_fpn_kl, postprocess=SOFT_VOTE,
        published=published("kl_loss_table6", 15)),
)
# what the text reads from the table, within each block: (row, minus row)
COMPARISONS = (
    ("baseline (2x schedule)", "baseline (1x schedule)"), ("IoU-NMS", "baseline (2x schedule)"),
    ("IoU-Net + IoU-NMS", "IoU-Net"), ("IoU-Net + IoU-NMS + Refine", "IoU-Net + IoU-NMS"),
    ("soft-NMS", "baseline (2x schedule)"), ("KL Loss", "baseline (2x schedule)"), ("KL Loss + var voting", "KL Loss"),
    ("KL Loss + var voting + soft-NMS", "KL Loss + var voting"),
    ("KL Loss + var voting + soft-NMS", "baseline (2x schedule)"),
)  # fmt: skip
