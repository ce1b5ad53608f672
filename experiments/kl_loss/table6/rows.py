"""KL Loss Table 6: Fast R-CNN and Faster R-CNN with a ResNet-50-FPN, MS-COCO 2017.

The paper cites Detectron's model zoo for the baselines and IoU-Net for its rows; all are computed
here. IoU-Net's Faster R-CNN is trained as a whole, with precise RoI pooling; the Fast R-CNN row's
IoU head alone, on the finished baseline (2x). Soft-NMS is Gaussian with sigma 0.5 in all rows, NMS
threshold 0.5 is Detectron's.
"""

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
from experiments.postprocess import IOU_NMS, NMS_05, SOFT_NMS, SOFT_VOTE, VOTE_05
from experiments.records import Row, Table
from postprocess.refine import Refinement

FAST = "fast R-CNN"
FASTER = "Faster R-CNN"
ZOO = "Detectron's model zoo"
IOU_NET = "IoU-Net, on its own baseline"

# fmt: off
ROWS = (
    Row("baseline (1x schedule)",          r50_fpn_fast_1x,  NMS_05,
        (36.4, 58.4, 39.3, 20.3, 39.8, 48.1), group=FAST, cited=ZOO),
    Row("baseline (2x schedule)",          r50_fpn_fast_2x,  NMS_05,
        (36.8, 58.4, 39.5, 19.8, 39.5, 49.5), group=FAST, cited=ZOO),
    Row("IoU-NMS",                         r50_fpn_fast_iou, IOU_NMS,
        (37.3, 56.0, None, None, None, None), group=FAST, cited=IOU_NET),
    Row("soft-NMS",                        r50_fpn_fast_2x,  SOFT_NMS,
        (37.4, 58.2, 41.0, 20.3, 40.2, 50.1), group=FAST),
    Row("KL Loss",                         r50_fpn_fast_kl,  NMS_05,
        (37.2, 57.2, 39.9, 19.8, 39.7, 50.1), group=FAST),
    Row("KL Loss + var voting",            r50_fpn_fast_kl,  VOTE_05,
        (37.5, 56.5, 40.1, 19.4, 40.2, 51.6), group=FAST),
    Row("KL Loss + var voting + soft-NMS", r50_fpn_fast_kl,  SOFT_VOTE,
        (38.0, 56.4, 41.2, 19.8, 40.6, 52.3), group=FAST),
    Row("baseline (1x schedule)",          r50_fpn_1x,       NMS_05,
        (36.7, 58.4, 39.6, 21.1, 39.8, 48.1), group=FASTER, cited=ZOO),
    Row("IoU-Net",                         r50_fpn_iou,      NMS_05,
        (37.0, 58.3, None, None, None, None), group=FASTER, cited=IOU_NET),
    Row("IoU-Net + IoU-NMS",               r50_fpn_iou,      IOU_NMS,
        (37.6, 56.2, None, None, None, None), group=FASTER, cited=IOU_NET),
    Row("baseline (2x schedule)",          r50_fpn_2x,       NMS_05,
        (37.9, 59.2, 41.1, 21.5, 41.1, 49.9), group=FASTER, cited=ZOO),
    Row("IoU-Net + IoU-NMS + Refine",      r50_fpn_iou,      IOU_NMS,
        (38.1, 56.3, None, None, None, None), group=FASTER, refine=Refinement(), cited=IOU_NET),
    Row("soft-NMS",                        r50_fpn_2x,       SOFT_NMS,
        (38.6, 59.3, 42.4, 21.9, 41.9, 50.7), group=FASTER),
    Row("KL Loss",                         r50_fpn_kl,       NMS_05,
        (38.5, 57.8, 41.2, 20.9, 41.2, 51.5), group=FASTER),
    Row("KL Loss + var voting",            r50_fpn_kl,       VOTE_05,
        (38.8, 57.8, 41.6, 21.0, 41.5, 52.0), group=FASTER),
    Row("KL Loss + var voting + soft-NMS", r50_fpn_kl,       SOFT_VOTE,
        (39.2, 57.6, 42.5, 21.2, 41.8, 52.5), group=FASTER),
)
# fmt: on

TABLE = Table(
    title="KL Loss Table 6: Fast R-CNN and Faster R-CNN, ResNet-50-FPN, MS-COCO",
    metric="coco",
    columns=("AP", "AP50", "AP75", "APS", "APM", "APL"),
    extra=(
        "AP80",
        "AP90",
        "clean_distance",
        "spearman_true",
        "spearman_error",
        "coverage1",
        "coverage2",
        "nll",
    ),
    rows=ROWS,
    comparisons=(
        ("baseline (2x schedule)", "baseline (1x schedule)"),
        ("IoU-NMS", "baseline (2x schedule)"),
        ("IoU-Net + IoU-NMS", "IoU-Net"),
        ("IoU-Net + IoU-NMS + Refine", "IoU-Net + IoU-NMS"),
        ("soft-NMS", "baseline (2x schedule)"),
        ("KL Loss", "baseline (2x schedule)"),
        ("KL Loss + var voting", "KL Loss"),
        ("KL Loss + var voting + soft-NMS", "KL Loss + var voting"),
        ("KL Loss + var voting + soft-NMS", "baseline (2x schedule)"),
    ),
)
