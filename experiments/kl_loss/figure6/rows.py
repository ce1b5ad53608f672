"""KL Loss Figure 6: var voting at different temperatures sigma_t, ResNet-50-FPN Faster R-CNN with KL Loss, MS-COCO.

The figure prints curves without numbers: the change of each AP against sigma_t = 0, no voting. Its ticks lack 0.02,
which the paper uses everywhere; it is added. The suppression of the figure is not stated: plain NMS.
"""

from dataclasses import replace

from experiments.kl_loss.runs import r50_fpn_kl
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "KL Loss Figure 6: var voting at different sigma_t, ResNet-50-FPN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "AP80", "AP90")
EXTRA_COLUMNS = ("clean_distance",)

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.5)

ROWS = (
    Row(label="sigma_t = 0", run=r50_fpn_kl, postprocess=NMS),
    Row(label="sigma_t = 0.005", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.005)),
    Row(label="sigma_t = 0.01", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.01)),
    Row(label="sigma_t = 0.02", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.02), added=True),
    Row(label="sigma_t = 0.025", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.025)),
    Row(label="sigma_t = 0.05", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.05)),
    Row(label="sigma_t = 0.1", run=r50_fpn_kl, postprocess=replace(NMS, sigma_t=0.1)),
)
COMPARISONS = (
    ("sigma_t = 0.005", "sigma_t = 0"), ("sigma_t = 0.01", "sigma_t = 0"), ("sigma_t = 0.02", "sigma_t = 0"),
    ("sigma_t = 0.025", "sigma_t = 0"), ("sigma_t = 0.05", "sigma_t = 0"), ("sigma_t = 0.1", "sigma_t = 0"),
)  # fmt: skip
