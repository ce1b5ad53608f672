"""KL Loss Table 4: methods for accurate boxes, ResNet-50-FPN Mask R-CNN on MS-COCO 2017; box AP at high IoU.

MR-CNN's row is Detectron's box voting (IoU 0.8), as its numbers suggest; the whole method, with iterative localization,
stands beside it. The IoU-Net row is an IoU head that was trained alone, on jittered objects, on the finished Mask
R-CNN of the baseline. All soft-NMS rows are Gaussian with sigma 0.5 (../README.md points 23, 24).
"""

from dataclasses import replace

from experiments.kl_loss.runs import r50_fpn_mask, r50_fpn_mask_iou, r50_fpn_mask_kl
from experiments.records import Row, published
from postprocess.box_voting import MR_CNN, BoxVoting
from postprocess.pipeline import PostprocessConfig
from postprocess.refine import Refinement

TITLE = "KL Loss Table 4: accurate detection, ResNet-50-FPN Mask R-CNN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP60", "AP70", "AP80", "AP90")
EXTRA_COLUMNS = ("AP75", "clean_distance", "spearman_error", "coverage1", "coverage2", "mask_AP", "mask_AP50",
                 "mask_AP75")
IOU_NET = "IoU-Net, on its own Mask R-CNN"

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.5)
SOFT_NMS = PostprocessConfig(suppression="soft_gaussian", soft_nms_sigma=0.5, score_floor=0.001)
IOU_NMS = PostprocessConfig(suppression="iou_guided", iou_threshold=0.5)

ROWS = (
    Row(label="baseline", run=r50_fpn_mask, postprocess=NMS, published=published("kl_loss_table4", 0),
        cited="Detectron's model zoo"),
    Row(label="MR-CNN", run=r50_fpn_mask, postprocess=replace(NMS, box_voting=BoxVoting()),
        published=published("kl_loss_table4", 1)),
    Row(label="MR-CNN (iterative localization, its own voting)", run=r50_fpn_mask, rounds=2, added=True,
        postprocess=replace(NMS, iou_threshold=0.3, box_voting=MR_CNN)),
    Row(label="soft-NMS", run=r50_fpn_mask, postprocess=SOFT_NMS, published=published("kl_loss_table4", 2)),
    Row(label="IoU-NMS", run=r50_fpn_mask_iou, postprocess=IOU_NMS, added=True),
    Row(label="IoU-NMS + Refine", run=r50_fpn_mask_iou, postprocess=IOU_NMS, refine=Refinement(),
        published=published("kl_loss_table4", 3), cited=IOU_NET),
    Row(label="KL Loss", run=r50_fpn_mask_kl, postprocess=NMS, published=published("kl_loss_table4", 4)),
    Row(label="KL Loss + var voting", run=r50_fpn_mask_kl, postprocess=replace(NMS, sigma_t=0.02),
        published=published("kl_loss_table4", 5)),
    Row(label="KL Loss + var voting + soft-NMS", run=r50_fpn_mask_kl, postprocess=replace(SOFT_NMS, sigma_t=0.02),
        published=published("kl_loss_table4", 6)),
)
# what the paper prints in brackets: (row, minus row)
COMPARISONS = (
    ("MR-CNN", "baseline"), ("MR-CNN (iterative localization, its own voting)", "baseline"),
    ("soft-NMS", "baseline"), ("IoU-NMS", "baseline"), ("IoU-NMS + Refine", "baseline"), ("KL Loss", "baseline"),
    ("KL Loss + var voting", "baseline"), ("KL Loss + var voting + soft-NMS", "baseline"),
)  # fmt: skip
