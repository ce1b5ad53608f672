"""Recall of RPN's and KL-RPN's proposals on MS-COCO, for the three detectors of KL-RPN Table 1.

The paper has no such table: it argues with the final AP. This one looks at the first stage alone. Two controls separate
what the paper changed together: the region proposal, and the weight 10 of the second stage's losses (Eq. 9).
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
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "Proposals of RPN and KL-RPN: recall, MS-COCO"
METRIC = "recall"
COUNTS = (100, 300, 1000)  # proposals an image
IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)

NMS = PostprocessConfig()  # of the second stage, which is not looked at

ROWS = (
    Row(label="RPN", run=vgg16_coco, postprocess=NMS, group="Faster R-CNN VGG-16"),
    Row(label="KL-RPN", run=vgg16_coco_klrpn, postprocess=NMS, group="Faster R-CNN VGG-16"),
    Row(label="RPN, weight 10", run=vgg16_coco_weight10, postprocess=NMS, group="Faster R-CNN VGG-16"),
    Row(label="KL-RPN, weight 1", run=vgg16_coco_klrpn_weight1, postprocess=NMS, group="Faster R-CNN VGG-16"),
    Row(label="RPN", run=r101_coco, postprocess=NMS, group="Faster R-CNN ResNet-101"),
    Row(label="KL-RPN", run=r101_coco_klrpn, postprocess=NMS, group="Faster R-CNN ResNet-101"),
    Row(label="RPN", run=rfcn_r101_coco, postprocess=NMS, group="R-FCN ResNet-101"),
    Row(label="KL-RPN", run=rfcn_r101_coco_klrpn, postprocess=NMS, group="R-FCN ResNet-101"),
)
COMPARISONS = (
    ("KL-RPN", "RPN"), ("RPN, weight 10", "RPN"), ("KL-RPN, weight 1", "KL-RPN"), ("KL-RPN, weight 1", "RPN"))
