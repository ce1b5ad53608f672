"""Controls of KL Loss Tables 3 and 6, not in the paper: what its KL Loss rows mix, taken apart.
ResNet-50-FPN.

The released recipe differs from its baseline in three ways: boxes are coded by their edges, the
loss is KL Loss, and training starts from the finished baseline, so that it lasts twice as long
(docs/kl_loss.md points 3, 31).
"""

from experiments.kl_loss.runs import (
    r50_fpn_2x,
    r50_fpn_2x_again,
    r50_fpn_edges,
    r50_fpn_kl,
    r50_fpn_kl_warm,
)
from experiments.postprocess import NMS_05, VOTE_05
from experiments.records import Row, Table

# fmt: off
ROWS = (
    Row("baseline",                               r50_fpn_2x,       NMS_05,  added=True),
    Row("edge offsets only",                      r50_fpn_edges,    NMS_05,  added=True),
    Row("KL Loss",                                r50_fpn_kl,       NMS_05,  added=True),
    Row("KL Loss + var voting",                   r50_fpn_kl,       VOTE_05, added=True),
    Row("baseline, trained twice as long",        r50_fpn_2x_again, NMS_05,  added=True),
    Row("KL Loss from the baseline",              r50_fpn_kl_warm,  NMS_05,  added=True),
    Row("KL Loss from the baseline + var voting", r50_fpn_kl_warm,  VOTE_05, added=True),
)
# fmt: on

TABLE = Table(
    title="Controls of KL Loss Tables 3 and 6: box coding, loss and length of training apart, "
    "ResNet-50-FPN, MS-COCO",
    metric="coco",
    columns=("AP", "AP50", "AP75", "APS", "APM", "APL"),
    extra=(
        "AP80",
        "AP90",
        "clean_distance",
        "spearman_true",
        "spearman_error",
        "coverage1",
        "coverage2",
    ),
    rows=ROWS,
    comparisons=(
        ("edge offsets only", "baseline"),
        ("KL Loss", "edge offsets only"),
        ("KL Loss", "baseline"),
        ("baseline, trained twice as long", "baseline"),
        ("KL Loss from the baseline", "baseline, trained twice as long"),
        ("KL Loss from the baseline", "KL Loss"),
        ("KL Loss from the baseline + var voting", "KL Loss from the baseline"),
    ),
)
