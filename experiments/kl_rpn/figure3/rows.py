"""KL-RPN Figure 3: do proposals with high objectness fit better than those with low? VGG-16 Faster
R-CNN, MS-COCO.

The figure prints curves and no numbers, so nothing is published here. Proposals are taken after
NMS, as the second stage gets them; there is no post-processing to choose.
"""

from experiments.kl_rpn.runs import vgg16_coco, vgg16_coco_klrpn
from experiments.postprocess import NMS_05
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("RPN",    vgg16_coco,       NMS_05),
    Row("KL-RPN", vgg16_coco_klrpn, NMS_05),
)
# fmt: on

TABLE = Table(
    title="KL-RPN Figure 3: offsets of proposals with high and with low objectness, "
    "VGG-16 Faster R-CNN, MS-COCO",
    metric="figure3",
    command="figure3",
    rows=ROWS,
    comparisons=(("KL-RPN", "RPN"),),
)
