"""RPN against KL-RPN over training length, not in the paper: the whole VGG-16 Faster R-CNN.

MS-COCO. A scale says how long: mini, mini-4x, mini-16x, ... (LENGTH with make). Everything else is
the same on both sides.
"""

from experiments.kl_rpn.runs import vgg16_coco, vgg16_coco_klrpn
from experiments.postprocess import NMS_03_LOW
from experiments.records import Row, Table

ROWS = (
    Row("RPN", vgg16_coco, NMS_03_LOW, added=True),
    Row("KL-RPN", vgg16_coco_klrpn, NMS_03_LOW, added=True),
)

TABLE = Table(
    title="RPN and KL-RPN over training length: VGG-16 Faster R-CNN, MS-COCO",
    metric="coco",
    command="evaluate_length",
    columns=("AP", "AP50", "AP75", "APS", "APM", "APL"),
    extra=("AP80", "AP90", "AR100", "clean_distance"),
    rows=ROWS,
    comparisons=(("KL-RPN", "RPN"),),
)
