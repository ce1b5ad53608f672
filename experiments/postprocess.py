"""The post-processings that the rows of several tables share.

NMS_03 is py-faster-rcnn's threshold, NMS_05 Detectron's; _LOW keeps scores down to 0.001, as the
baselines of KL-RPN do.
Soft-NMS is the released code's Gaussian with sigma 0.5; voting is the paper's, sigma_t 0.02, all
boxes vote (docs/kl_loss.md, points 18, 20, 23, 24).
"""

from dataclasses import replace

from postprocess.pipeline import PostprocessConfig

NMS_03 = PostprocessConfig(suppression="hard", iou_threshold=0.3)
NMS_05 = PostprocessConfig(suppression="hard", iou_threshold=0.5)
SOFT_NMS = PostprocessConfig(suppression="soft_gaussian", soft_nms_sigma=0.5, score_floor=0.001)
IOU_NMS = PostprocessConfig(suppression="iou_guided", iou_threshold=0.5)

VOTE_03 = replace(NMS_03, sigma_t=0.02)
VOTE_05 = replace(NMS_05, sigma_t=0.02)
SOFT_VOTE = replace(SOFT_NMS, sigma_t=0.02)

NMS_03_LOW = replace(NMS_03, score_threshold=0.001)
VOTE_03_LOW = replace(NMS_03_LOW, sigma_t=0.02)
