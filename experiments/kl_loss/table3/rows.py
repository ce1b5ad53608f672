"""KL Loss Table 3: KL Loss under different box heads, ResNet-50 on MS-COCO 2017.

The paper cites Detectron's model zoo for its baselines; here they are trained like the rest. NMS threshold 0.5 is
Detectron's. "conv5 head" is the C4 network without a pyramid, which the paper calls backbone "RPN".
"""

from experiments.kl_loss.runs import r50_c4, r50_c4_kl, r50_fpn_2x, r50_fpn_kl, r50_fpn_mask, r50_fpn_mask_kl
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig

TITLE = "KL Loss Table 3: different box heads, ResNet-50, MS-COCO"
METRIC = "coco"
COLUMNS = ("AP",)
EXTRA_COLUMNS = ("AP50", "AP75", "AP90", "clean_distance", "spearman_true", "spearman_error", "coverage1", "coverage2",
                 "mask_AP", "mask_AP50", "mask_AP75")
ZOO = "Detectron's model zoo"

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.5)

ROWS = (
    Row(group="2mlp head", label="baseline", run=r50_fpn_2x, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table3", 0)),
    Row(group="2mlp head", label="KL Loss", run=r50_fpn_kl, postprocess=NMS, published=published("kl_loss_table3", 1)),
    Row(group="2mlp head + mask", label="baseline", run=r50_fpn_mask, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table3", 2)),
    Row(group="2mlp head + mask", label="KL Loss", run=r50_fpn_mask_kl, postprocess=NMS,
        published=published("kl_loss_table3", 3)),
    Row(group="conv5 head", label="baseline", run=r50_c4, postprocess=NMS, cited=ZOO,
        published=published("kl_loss_table3", 4)),
    Row(group="conv5 head", label="KL Loss", run=r50_c4_kl, postprocess=NMS, published=published("kl_loss_table3", 5)),
)
COMPARISONS = (("KL Loss", "baseline"),)
