"""KL-RPN Figure 3: do proposals with high objectness fit better than those with low? VGG-16 Faster R-CNN, MS-COCO.

The figure prints curves and no numbers, so nothing is published here. Proposals are taken after NMS, as the second
stage gets them; there is no post-processing to choose.
"""

from experiments.kl_rpn.runs import vgg16_coco, vgg16_coco_klrpn
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "KL-RPN Figure 3: offsets of proposals with high and with low objectness, VGG-16 Faster R-CNN, MS-COCO"
METRIC = "figure3"

ROWS = (
    Row(label="RPN", run=vgg16_coco, postprocess=PostprocessConfig()),
    Row(label="KL-RPN", run=vgg16_coco_klrpn, postprocess=PostprocessConfig()),
)
COMPARISONS = (("KL-RPN", "RPN"),)
