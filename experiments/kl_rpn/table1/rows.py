"""KL-RPN Table 1: RPN and KL-RPN in Faster R-CNN and R-FCN on MS-COCO test-dev; two rows of ours at the end.

Scored on minival, a proxy for test-dev, whose labels are not public; `python -m scripts.submit kl_rpn/table1` writes
the files for its server. The R-FCN networks are trained on trainval, which contains minival, so their rows say
something only on test-dev. NMS at 0.3 is the baselines' (they keep every score above 0, here above 0.001).
"""

from dataclasses import replace

from experiments.kl_rpn.runs import (
    r101_coco,
    r101_coco_klrpn,
    rfcn_r101_coco,
    rfcn_r101_coco_klrpn,
    vgg16_coco,
    vgg16_coco_klrpn,
    vgg16_coco_klrpn_kl,
)
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig

TITLE = "KL-RPN Table 1: RPN and KL-RPN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "params_M", "speed_ms")
EXTRA_COLUMNS = ("AP80", "AP90", "AR100", "clean_distance")
NOTES = {
    "paper": ("scored on minival as a proxy for the paper's test-dev; the R-FCN networks are trained on trainval, "
              "which contains minival: judge them by the test-dev server alone (python -m scripts.submit)",),
}

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3, score_threshold=0.001)
RFCN_PAPER = "R-FCN (Dai et al. 2016), multi-scale training"

ROWS = (
    Row(group="Faster R-CNN VGG-16", label="RPN", run=vgg16_coco, postprocess=NMS,
        published=published("kl_rpn_table1", 0)),
    Row(group="Faster R-CNN VGG-16", label="KL-RPN", run=vgg16_coco_klrpn, postprocess=NMS,
        published=published("kl_rpn_table1", 1)),
    Row(group="Faster R-CNN ResNet-101", label="RPN", run=r101_coco, postprocess=NMS,
        published=published("kl_rpn_table1", 2)),
    Row(group="Faster R-CNN ResNet-101", label="KL-RPN", run=r101_coco_klrpn, postprocess=NMS,
        published=published("kl_rpn_table1", 3)),
    Row(group="R-FCN ResNet-101", label="RPN", run=rfcn_r101_coco, postprocess=NMS, cited=RFCN_PAPER,
        published=published("kl_rpn_table1", 4)),
    Row(group="R-FCN ResNet-101", label="KL-RPN", run=rfcn_r101_coco_klrpn, postprocess=NMS,
        published=published("kl_rpn_table1", 5)),
    Row(group="Faster R-CNN VGG-16", label="KL-RPN + KL Loss", run=vgg16_coco_klrpn_kl, postprocess=NMS, added=True),
    Row(group="Faster R-CNN VGG-16", label="KL-RPN + KL Loss + var voting", run=vgg16_coco_klrpn_kl,
        postprocess=replace(NMS, sigma_t=0.02), added=True),
)
# what the paper reads from the table: (row, minus row), within each detector
COMPARISONS = (
    ("KL-RPN", "RPN"), ("KL-RPN + KL Loss", "KL-RPN"), ("KL-RPN + KL Loss + var voting", "KL-RPN + KL Loss"),
    ("KL-RPN + KL Loss + var voting", "RPN"),
)  # fmt: skip
