"""Controls of KL Loss Tables 3 and 6, not in the paper: what its KL Loss rows mix, taken apart. ResNet-50-FPN.

The released recipe differs from its baseline in three ways: boxes are coded by their edges, the loss is KL Loss, and
training starts from the finished baseline, so that it lasts twice as long (../README.md points 3, 31).
"""

from dataclasses import replace

from experiments.kl_loss.runs import r50_fpn_2x, r50_fpn_2x_again, r50_fpn_edges, r50_fpn_kl, r50_fpn_kl_warm
from experiments.records import Row
from postprocess.pipeline import PostprocessConfig

TITLE = "Controls of KL Loss Tables 3 and 6: box coding, loss and length of training apart, ResNet-50-FPN, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
EXTRA_COLUMNS = ("AP80", "AP90", "clean_distance", "spearman_true", "spearman_error", "coverage1", "coverage2")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.5)
VOTE = replace(NMS, sigma_t=0.02)

ROWS = (
    Row(label="baseline", run=r50_fpn_2x, postprocess=NMS, added=True),
    Row(label="edge offsets only", run=r50_fpn_edges, postprocess=NMS, added=True),
    Row(label="KL Loss", run=r50_fpn_kl, postprocess=NMS, added=True),
    Row(label="KL Loss + var voting", run=r50_fpn_kl, postprocess=VOTE, added=True),
    Row(label="baseline, trained twice as long", run=r50_fpn_2x_again, postprocess=NMS, added=True),
    Row(label="KL Loss from the baseline", run=r50_fpn_kl_warm, postprocess=NMS, added=True),
    Row(label="KL Loss from the baseline + var voting", run=r50_fpn_kl_warm, postprocess=VOTE, added=True),
)
COMPARISONS = (
    ("edge offsets only", "baseline"), ("KL Loss", "edge offsets only"), ("KL Loss", "baseline"),
    ("baseline, trained twice as long", "baseline"), ("KL Loss from the baseline", "baseline, trained twice as long"),
    ("KL Loss from the baseline", "KL Loss"),
    ("KL Loss from the baseline + var voting", "KL Loss from the baseline"),
)  # fmt: skip
