"""KL Loss Figure 5: detections before and after var voting, with sigma on each side, VGG-16 Faster R-CNN, MS-COCO.

The figure shows photos and no table; the two rows are what it shows, before and after.
"""

from dataclasses import replace

from experiments.kl_loss.runs import vgg16_coco_kl
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "KL Loss Figure 5: boxes before and after var voting, VGG-16 with KL Loss, MS-COCO"
METRIC = "figure5"

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3)

ROWS = (
    Row(label="before", run=vgg16_coco_kl, postprocess=NMS),
    Row(label="after", run=vgg16_coco_kl, postprocess=replace(NMS, sigma_t=0.02)),
)
COMPARISONS = (("after", "before"),)
