"""What the words of the page mean, for a reader who does not know the papers."""

WORDS = (
    ("detector", "finds the objects of a photo, and says for each its class, a score and a box"),
    ("IoU", "how well two boxes match: the area they share over the area they cover; 1 is equal"),
    (
        "AP",
        "average precision, 0 to 100, higher is better: how complete and how clean the detections "
        "are. AP50 counts a box as right from IoU 0.5 on, AP90 from 0.9 on; AP alone is the mean "
        "over 0.5, 0.55, ..., 0.95. APS, APM, APL: small, medium, large objects. mAP is that of "
        "PASCAL VOC, at IoU 0.5",
    ),
    ("baseline", "the same detector without what the paper adds"),
    (
        "KL Loss",
        "a loss by which the detector learns, for each side of a box, a mean and a variance",
    ),
    ("sigma", "the standard deviation that it predicts, the square root of that variance"),
    (
        "NMS",
        "of several boxes on one object only the best stays; soft-NMS lowers the scores of the "
        "others instead of dropping them; QUBO chooses boxes by an optimization",
    ),
    (
        "var voting",
        "the box that stays becomes an average of its neighbors, in which sure sides count more; "
        "sigma_t says how far the neighborhood reaches",
    ),
    (
        "RPN, KL-RPN",
        "the first stage of a detector, which proposes where objects may be; KL-RPN ranks its "
        "proposals by their predicted variance",
    ),
    (
        "mini, lite, lite600, paper",
        "sizes of each experiment: rendered scenes whose label noise is known; a subset of real "
        "photos with a small network; the same photos at the papers' resolution; the published "
        "recipe",
    ),
    (
        "clean boxes",
        "at mini every label is moved on purpose; the clean box is the one before that, so it is "
        "the better judge",
    ),
    ("seed", "one training with its own random numbers; ± is the spread over several of them"),
)
