"""KL Loss Figure 5: detections before and after var voting, with sigma on each side, VGG-16 Faster
R-CNN, MS-COCO.

The figure shows photos and no table; the two rows are what it shows, before and after.
"""

from experiments.kl_loss.runs import vgg16_coco_kl
from experiments.postprocess import NMS_03, VOTE_03
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("before", vgg16_coco_kl, NMS_03),
    Row("after",  vgg16_coco_kl, VOTE_03),
)
# fmt: on

TABLE = Table(
    title="KL Loss Figure 5: boxes before and after var voting, VGG-16 with KL Loss, MS-COCO",
    metric="figure5",
    command="figure5",
    rows=ROWS,
    comparisons=(("after", "before"),),
)
