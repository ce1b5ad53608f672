"""KL-RPN Table 2: RPN and KL-RPN in Faster R-CNN (07+12) and R-FCN (07) on PASCAL VOC 2007 test; 11-point mAP."""

from experiments.kl_rpn.runs import (
    r101_voc,
    r101_voc_klrpn,
    rfcn_r101_voc,
    rfcn_r101_voc_klrpn,
    vgg16_voc,
    vgg16_voc_klrpn,
)
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig

TITLE = "KL-RPN Table 2: RPN and KL-RPN, PASCAL VOC 2007"
METRIC = "voc"
COLUMNS = ("mAP",)
EXTRA_COLUMNS = ("mAP75", "mAP90", "mAP_area")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3, score_threshold=0.001)
RFCN_REPOSITORY = "RFCN_CoupleNet.pytorch"

ROWS = (
    Row(group="Faster R-CNN VGG-16", label="RPN", run=vgg16_voc, postprocess=NMS,
        published=published("kl_rpn_table2", 0)),
    Row(group="Faster R-CNN VGG-16", label="KL-RPN", run=vgg16_voc_klrpn, postprocess=NMS,
        published=published("kl_rpn_table2", 1)),
    Row(group="Faster R-CNN ResNet-101", label="RPN", run=r101_voc, postprocess=NMS,
        published=published("kl_rpn_table2", 2)),
    Row(group="Faster R-CNN ResNet-101", label="KL-RPN", run=r101_voc_klrpn, postprocess=NMS,
        published=published("kl_rpn_table2", 3)),
    Row(group="R-FCN ResNet-101", label="RPN", run=rfcn_r101_voc, postprocess=NMS, cited=RFCN_REPOSITORY,
        published=published("kl_rpn_table2", 4)),
    Row(group="R-FCN ResNet-101", label="KL-RPN", run=rfcn_r101_voc_klrpn, postprocess=NMS,
        published=published("kl_rpn_table2", 5)),
)
# what the paper reads from the table: (row, minus row), within each detector
COMPARISONS = (("KL-RPN", "RPN"),)
