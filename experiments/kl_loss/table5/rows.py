"""KL Loss Table 5: PASCAL VOC 2007, Faster R-CNN with VGG-CNN-M-1024 and VGG-16; mAP at IoU 0.5, 11-point.

The two QUBO rows minimize the energy that the authors' code has; beside them the energy without its self overlap.
"""

from dataclasses import replace

from experiments.kl_loss.runs import vgg16_voc, vgg16_voc_kl, vggm_voc, vggm_voc_kl
from experiments.records import Row, published
from postprocess.pipeline import PostprocessConfig
from postprocess.qubo import AUTHORS_GREEDY, AUTHORS_TABU, CORRECTED

TITLE = "KL Loss Table 5: PASCAL VOC 2007, Faster R-CNN"
METRIC = "voc"
COLUMNS = ("mAP",)
EXTRA_COLUMNS = ("mAP75", "mAP90", "mAP_area", "spearman_error", "coverage1", "coverage2", "nll")

NMS = PostprocessConfig(suppression="hard", iou_threshold=0.3)
SOFT_NMS = PostprocessConfig(suppression="soft_gaussian", soft_nms_sigma=0.5, score_floor=0.001)
VOTE = replace(NMS, sigma_t=0.02)
SOFT_VOTE = replace(SOFT_NMS, sigma_t=0.02)
QUBO_TABU = PostprocessConfig(suppression="qubo_tabu", qubo=AUTHORS_TABU)
QUBO_GREEDY = PostprocessConfig(suppression="qubo_greedy", qubo=AUTHORS_GREEDY)

ROWS = (
    Row(group="VGG-CNN-M-1024", label="baseline", run=vggm_voc, postprocess=NMS,
        published=published("kl_loss_table5", 0)),
    Row(group="VGG-CNN-M-1024", label="KL Loss", run=vggm_voc_kl, postprocess=NMS,
        published=published("kl_loss_table5", 1)),
    Row(group="VGG-CNN-M-1024", label="KL Loss + var voting", run=vggm_voc_kl, postprocess=VOTE,
        published=published("kl_loss_table5", 2)),
    Row(group="VGG-CNN-M-1024", label="KL Loss + var voting + soft-NMS", run=vggm_voc_kl, postprocess=SOFT_VOTE,
        published=published("kl_loss_table5", 3)),
    Row(group="VGG-16", label="baseline", run=vgg16_voc, postprocess=NMS, published=published("kl_loss_table5", 4)),
    Row(group="VGG-16", label="QUBO (tabu)", run=vgg16_voc, postprocess=QUBO_TABU,
        published=published("kl_loss_table5", 5)),
    Row(group="VGG-16", label="QUBO (greedy)", run=vgg16_voc, postprocess=QUBO_GREEDY,
        published=published("kl_loss_table5", 6)),
    Row(group="VGG-16", label="QUBO (tabu), no self overlap", run=vgg16_voc,
        postprocess=replace(QUBO_TABU, qubo=CORRECTED), added=True),
    Row(group="VGG-16", label="QUBO (greedy), no self overlap", run=vgg16_voc,
        postprocess=replace(QUBO_GREEDY, qubo=CORRECTED), added=True),
    Row(group="VGG-16", label="soft-NMS", run=vgg16_voc, postprocess=SOFT_NMS,
        published=published("kl_loss_table5", 7)),
    Row(group="VGG-16", label="KL Loss", run=vgg16_voc_kl, postprocess=NMS, published=published("kl_loss_table5", 8)),
    Row(group="VGG-16", label="KL Loss + var voting", run=vgg16_voc_kl, postprocess=VOTE,
        published=published("kl_loss_table5", 9)),
    Row(group="VGG-16", label="KL Loss + var voting + soft-NMS", run=vgg16_voc_kl, postprocess=SOFT_VOTE,
        published=published("kl_loss_table5", 10)),
)
# what the paper reads from the table: (row, minus row), within each backbone
COMPARISONS = (
    ("KL Loss", "baseline"), ("KL Loss + var voting", "KL Loss"),
    ("KL Loss + var voting + soft-NMS", "KL Loss + var voting"), ("KL Loss + var voting + soft-NMS", "baseline"),
)  # fmt: skip
