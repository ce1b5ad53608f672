"""KL Loss Table 3: KL Loss under different box heads, ResNet-50 on MS-COCO 2017.

The paper cites Detectron's model zoo for its baselines; here they are trained like the rest. NMS
threshold 0.5 is Detectron's. "conv5 head" is the C4 network without a pyramid, which the paper
calls backbone "RPN".
"""

from experiments.kl_loss.runs import (
    r50_c4,
    r50_c4_kl,
    r50_fpn_2x,
    r50_fpn_kl,
    r50_fpn_mask,
    r50_fpn_mask_kl,
)
from experiments.postprocess import NMS_05
from experiments.records import Row, Table

ZOO = "Detectron's model zoo"

# fmt: off
ROWS = (
    Row("baseline", r50_fpn_2x,      NMS_05, (37.9,), group="2mlp head", cited=ZOO),
    Row("KL Loss",  r50_fpn_kl,      NMS_05, (38.5,), group="2mlp head"),
    Row("baseline", r50_fpn_mask,    NMS_05, (38.6,), group="2mlp head + mask", cited=ZOO),
    Row("KL Loss",  r50_fpn_mask_kl, NMS_05, (39.5,), group="2mlp head + mask"),
    Row("baseline", r50_c4,          NMS_05, (36.5,), group="conv5 head", cited=ZOO),
    Row("KL Loss",  r50_c4_kl,       NMS_05, (38.0,), group="conv5 head"),
)
# fmt: on

TABLE = Table(
    title="KL Loss Table 3: different box heads, ResNet-50, MS-COCO",
    metric="coco",
    columns=("AP",),
    extra=(
        "AP50",
        "AP75",
        "AP90",
        "clean_distance",
        "spearman_true",
        "spearman_error",
        "coverage1",
        "coverage2",
        "mask_AP",
        "mask_AP50",
        "mask_AP75",
    ),
    rows=ROWS,
    comparisons=(("KL Loss", "baseline"),),
)
