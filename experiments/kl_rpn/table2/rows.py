"""KL-RPN Table 2: RPN and KL-RPN in Faster R-CNN (07+12) and R-FCN (07) on PASCAL VOC 2007 test;
11-point mAP.
"""

from experiments.kl_rpn.runs import (
    r101_voc,
    r101_voc_klrpn,
    rfcn_r101_voc,
    rfcn_r101_voc_klrpn,
    vgg16_voc,
    vgg16_voc_klrpn,
)
from experiments.postprocess import NMS_03_LOW
from experiments.records import Row, Table

RFCN_REPOSITORY = "RFCN_CoupleNet.pytorch"

# fmt: off
ROWS = (
    Row("RPN",    vgg16_voc,           NMS_03_LOW,
        (75.9,), group="Faster R-CNN VGG-16"),
    Row("KL-RPN", vgg16_voc_klrpn,     NMS_03_LOW,
        (77.1,), group="Faster R-CNN VGG-16"),
    Row("RPN",    r101_voc,            NMS_03_LOW,
        (80.2,), group="Faster R-CNN ResNet-101"),
    Row("KL-RPN", r101_voc_klrpn,      NMS_03_LOW,
        (80.7,), group="Faster R-CNN ResNet-101"),
    Row("RPN",    rfcn_r101_voc,       NMS_03_LOW,
        (73.8,), group="R-FCN ResNet-101", cited=RFCN_REPOSITORY),
    Row("KL-RPN", rfcn_r101_voc_klrpn, NMS_03_LOW,
        (74.6,), group="R-FCN ResNet-101"),
)
# fmt: on

TABLE = Table(
    title="KL-RPN Table 2: RPN and KL-RPN, PASCAL VOC 2007",
    metric="voc",
    columns=("mAP",),
    extra=("mAP75", "mAP90", "mAP_area"),
    rows=ROWS,
    comparisons=(("KL-RPN", "RPN"),),
)
