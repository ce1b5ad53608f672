"""KL Loss Table 4: methods for accurate boxes, ResNet-50-FPN Mask R-CNN on MS-COCO 2017; box AP at
high IoU.

MR-CNN's row is Detectron's box voting (IoU 0.8), as its numbers suggest; the whole method, with
iterative localization, stands beside it. The IoU-Net row is an IoU head that was trained alone, on
jittered objects, on the finished Mask R-CNN of the baseline. All soft-NMS rows are Gaussian with
sigma 0.5 (docs/kl_loss.md points 23, 24).
"""

from dataclasses import replace

from experiments.kl_loss.runs import r50_fpn_mask, r50_fpn_mask_iou, r50_fpn_mask_kl
from experiments.postprocess import IOU_NMS, NMS_03, NMS_05, SOFT_NMS, SOFT_VOTE, VOTE_05
from experiments.records import Row, Table
from postprocess.box_voting import MR_CNN, BoxVoting
from postprocess.refine import Refinement

IOU_NET = "IoU-Net, on its own Mask R-CNN"

OWN_VOTING = replace(NMS_03, box_voting=MR_CNN)  # of MR-CNN itself

# fmt: off
ROWS = (
    Row("baseline",                                        r50_fpn_mask,     NMS_05,
        (38.6, 59.8, 55.3, 47.7, 34.4, 11.3), cited="Detectron's model zoo"),
    Row("MR-CNN", r50_fpn_mask, replace(NMS_05, box_voting=BoxVoting()),
        (38.9, 59.8, 55.5, 48.1, 34.8, 11.9)),
    Row("MR-CNN (iterative localization, its own voting)", r50_fpn_mask, OWN_VOTING,
        rounds=2, added=True),
    Row("soft-NMS",                                        r50_fpn_mask,     SOFT_NMS,
        (39.3, 59.7, 55.6, 48.9, 35.9, 12.0)),
    Row("IoU-NMS",                                         r50_fpn_mask_iou, IOU_NMS,
        added=True),
    Row("IoU-NMS + Refine",                                r50_fpn_mask_iou, IOU_NMS,
        (39.2, 57.9, 53.6, 47.4, 36.5, 16.4), refine=Refinement(), cited=IOU_NET),
    Row("KL Loss",                                         r50_fpn_mask_kl,  NMS_05,
        (39.5, 58.9, 54.4, 47.6, 36.0, 15.8)),
    Row("KL Loss + var voting",                            r50_fpn_mask_kl,  VOTE_05,
        (39.9, 58.9, 54.4, 47.7, 36.4, 17.0)),
    Row("KL Loss + var voting + soft-NMS",                 r50_fpn_mask_kl,  SOFT_VOTE,
        (40.4, 58.7, 54.6, 48.5, 37.5, 17.5)),
)
# fmt: on

TABLE = Table(
    title="KL Loss Table 4: accurate detection, ResNet-50-FPN Mask R-CNN, MS-COCO",
    metric="coco",
    columns=("AP", "AP50", "AP60", "AP70", "AP80", "AP90"),
    extra=(
        "AP75",
        "clean_distance",
        "spearman_error",
        "coverage1",
        "coverage2",
        "mask_AP",
        "mask_AP50",
        "mask_AP75",
    ),
    rows=ROWS,
    comparisons=(
        ("MR-CNN", "baseline"),
        ("MR-CNN (iterative localization, its own voting)", "baseline"),
        ("soft-NMS", "baseline"),
        ("IoU-NMS", "baseline"),
        ("IoU-NMS + Refine", "baseline"),
        ("KL Loss", "baseline"),
        ("KL Loss + var voting", "baseline"),
        ("KL Loss + var voting + soft-NMS", "baseline"),
    ),
)
