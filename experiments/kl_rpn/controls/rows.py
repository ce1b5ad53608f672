"""Controls of KL-RPN Table 1, not in the paper: the region proposal and the weight of the second
stage's losses, apart.

The paper changed both at once: Eq. 9 weighs the second stage by 10, the baseline by 1. Here each
weight meets each region proposal, VGG-16 Faster R-CNN on MS-COCO.
"""

from experiments.kl_rpn.runs import (
    vgg16_coco,
    vgg16_coco_klrpn,
    vgg16_coco_klrpn_weight1,
    vgg16_coco_weight10,
)
from experiments.postprocess import NMS_03_LOW
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("RPN",              vgg16_coco,               NMS_03_LOW, added=True),
    Row("KL-RPN, weight 1", vgg16_coco_klrpn_weight1, NMS_03_LOW, added=True),
    Row("RPN, weight 10",   vgg16_coco_weight10,      NMS_03_LOW, added=True),
    Row("KL-RPN",           vgg16_coco_klrpn,         NMS_03_LOW, added=True),
)
# fmt: on

TABLE = Table(
    title="Controls of KL-RPN Table 1: region proposal and loss weight apart, "
    "VGG-16 Faster R-CNN, MS-COCO",
    metric="coco",
    columns=("AP", "AP50", "AP75", "APS", "APM", "APL", "AR100"),
    extra=("AP80", "AP90", "clean_distance"),
    rows=ROWS,
    comparisons=(
        ("KL-RPN, weight 1", "RPN"),
        ("KL-RPN", "RPN, weight 10"),
        ("RPN, weight 10", "RPN"),
        ("KL-RPN", "KL-RPN, weight 1"),
        ("KL-RPN", "RPN"),
    ),
)
