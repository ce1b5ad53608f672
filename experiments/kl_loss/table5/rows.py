"""KL Loss Table 5: PASCAL VOC 2007, Faster R-CNN with VGG-CNN-M-1024 and VGG-16; mAP at IoU 0.5,
11-point.

The two QUBO rows minimize the energy that the authors' code has; beside them the energy without its
self overlap.
"""

from dataclasses import replace

from experiments.kl_loss.runs import vgg16_voc, vgg16_voc_kl, vggm_voc, vggm_voc_kl
from experiments.postprocess import NMS_03, SOFT_NMS, SOFT_VOTE, VOTE_03
from experiments.records import Row, Table
from postprocess.pipeline import PostprocessConfig
from postprocess.qubo import AUTHORS_GREEDY, AUTHORS_TABU, CORRECTED

QUBO_TABU = PostprocessConfig(suppression="qubo_tabu", qubo=AUTHORS_TABU)
QUBO_GREEDY = PostprocessConfig(suppression="qubo_greedy", qubo=AUTHORS_GREEDY)

# fmt: off
ROWS = (
    Row("baseline",                        vggm_voc,     NMS_03,
        (60.4,), group="VGG-CNN-M-1024"),
    Row("KL Loss",                         vggm_voc_kl,  NMS_03,
        (62.0,), group="VGG-CNN-M-1024"),
    Row("KL Loss + var voting",            vggm_voc_kl,  VOTE_03,
        (62.8,), group="VGG-CNN-M-1024"),
    Row("KL Loss + var voting + soft-NMS", vggm_voc_kl,  SOFT_VOTE,
        (63.6,), group="VGG-CNN-M-1024"),
    Row("baseline",                        vgg16_voc,    NMS_03,
        (68.7,), group="VGG-16"),
    Row("QUBO (tabu)",                     vgg16_voc,    QUBO_TABU,
        (60.6,), group="VGG-16"),
    Row("QUBO (greedy)",                   vgg16_voc,    QUBO_GREEDY,
        (61.9,), group="VGG-16"),
    Row("QUBO (tabu), no self overlap",    vgg16_voc,    replace(QUBO_TABU, qubo=CORRECTED),
        group="VGG-16", added=True),
    Row("QUBO (greedy), no self overlap",  vgg16_voc,    replace(QUBO_GREEDY, qubo=CORRECTED),
        group="VGG-16", added=True),
    Row("soft-NMS",                        vgg16_voc,    SOFT_NMS,
        (70.1,), group="VGG-16"),
    Row("KL Loss",                         vgg16_voc_kl, NMS_03,
        (69.7,), group="VGG-16"),
    Row("KL Loss + var voting",            vgg16_voc_kl, VOTE_03,
        (70.2,), group="VGG-16"),
    Row("KL Loss + var voting + soft-NMS", vgg16_voc_kl, SOFT_VOTE,
        (71.6,), group="VGG-16"),
)
# fmt: on

TABLE = Table(
    title="KL Loss Table 5: PASCAL VOC 2007, Faster R-CNN",
    metric="voc",
    columns=("mAP",),
    extra=("mAP75", "mAP90", "mAP_area", "spearman_error", "coverage1", "coverage2", "nll"),
    rows=ROWS,
    comparisons=(
        ("KL Loss", "baseline"),
        ("KL Loss + var voting", "KL Loss"),
        ("KL Loss + var voting + soft-NMS", "KL Loss + var voting"),
        ("KL Loss + var voting + soft-NMS", "baseline"),
    ),
)
