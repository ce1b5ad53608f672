"""Controls of KL-RPN Table 1, not in the paper: the region proposal and the weight of the second stage's losses, apart.

The paper changed both at once: Eq. 9 weighs the second stage by 10, the baseline by 1. Here each weight meets each
region proposal, VGG-16 Faster R-CNN on MS-COCO.
"""

from experiments.kl_rpn.runs import vgg16_coco, vgg16_coco_klrpn, vgg16_coco_klrpn_weight1, vgg16_coco_weight10
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "Controls of KL-RPN Table 1: region proposal and loss weight apart, VGG-16 Faster R-CNN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL", "AR100")
EXTRA_COLUMNS = ("AP80", "AP90", "clean_distance")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3, score_threshold=0.001)

ROWS = (
    Row(label="RPN", run=vgg16_coco, postprocess=NMS, added=True),
    Row(label="KL-RPN, weight 1", run=vgg16_coco_klrpn_weight1, postprocess=NMS, added=True),
    Row(label="RPN, weight 10", run=vgg16_coco_weight10, postprocess=NMS, added=True),
    Row(label="KL-RPN", run=vgg16_coco_klrpn, postprocess=NMS, added=True),
)
COMPARISONS = (
    ("KL-RPN, weight 1", "RPN"), ("KL-RPN", "RPN, weight 10"), ("RPN, weight 10", "RPN"),
    ("KL-RPN", "KL-RPN, weight 1"), ("KL-RPN", "RPN"),
)  # fmt: skip
