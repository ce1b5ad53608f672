"""Recall of RPN's and KL-RPN's proposals on MS-COCO, for the three detectors of KL-RPN Table 1.

The paper has no such table: it argues with the final AP. This one looks at the first stage alone.
Two controls separate what the paper changed together: the region proposal, and the weight 10 of the
second stage's losses (Eq. 9).
"""

from experiments.kl_rpn.runs import (
    r101_coco,
    r101_coco_klrpn,
    rfcn_r101_coco,
    rfcn_r101_coco_klrpn,
    vgg16_coco,
    vgg16_coco_klrpn,
    vgg16_coco_klrpn_weight1,
    vgg16_coco_weight10,
)
from experiments.postprocess import NMS_05
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("RPN",              vgg16_coco,               NMS_05, group="Faster R-CNN VGG-16"),
    Row("KL-RPN",           vgg16_coco_klrpn,         NMS_05, group="Faster R-CNN VGG-16"),
    Row("RPN, weight 10",   vgg16_coco_weight10,      NMS_05, group="Faster R-CNN VGG-16"),
    Row("KL-RPN, weight 1", vgg16_coco_klrpn_weight1, NMS_05, group="Faster R-CNN VGG-16"),
    Row("RPN",              r101_coco,                NMS_05, group="Faster R-CNN ResNet-101"),
    Row("KL-RPN",           r101_coco_klrpn,          NMS_05, group="Faster R-CNN ResNet-101"),
    Row("RPN",              rfcn_r101_coco,           NMS_05, group="R-FCN ResNet-101"),
    Row("KL-RPN",           rfcn_r101_coco_klrpn,     NMS_05, group="R-FCN ResNet-101"),
)
# fmt: on

TABLE = Table(
    title="Proposals of RPN and KL-RPN: recall, MS-COCO",
    metric="recall",
    command="recall",
    rows=ROWS,
    comparisons=(
        ("KL-RPN", "RPN"),
        ("RPN, weight 10", "RPN"),
        ("KL-RPN, weight 1", "KL-RPN"),
        ("KL-RPN, weight 1", "RPN"),
    ),
)
