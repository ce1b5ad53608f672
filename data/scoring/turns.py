"""Who gets what if detections choose objects in turn, without a loop over detections.

Letters: D detections and G objects of one image.
"""

import torch
from torch import Tensor

NOTHING = -1


def take_in_turn(preference: Tensor) -> Tensor:
    """The object that each detection takes if in their order, first row first, each takes the free
    one that it prefers most.

    All ask at once for the object that they prefer; an object keeps the first that asks and
    refuses the others, which ask elsewhere in the next round (deferred acceptance, Gale and Shapley
    1962). What an object has kept it gives up for an earlier detection alone, so the end is that of
    the turns. There are at most as many rounds as detections want objects, mostly two or three.

    Args:
        preference: (D, G), such as the IoU; below 0 where a detection does not take the object. Of
            equal ones the first object is preferred.

    Returns:
        (D,) i64, NOTHING for none.
    """
    detections, objects = preference.shape
    if not objects:
        return torch.full((detections,), NOTHING, device=preference.device)
    turn = torch.arange(detections, device=preference.device)
    preference = preference.clone()
    while True:
        liked, wanted = preference.max(dim=1)
        asks = liked >= 0
        asked = wanted.where(asks, objects)  # the place behind the objects is for all others
        first = turn.new_full((objects + 1,), detections).scatter_reduce(0, asked, turn, "amin")
        refused = (asks & (first[asked] < turn)).nonzero()[:, 0]
        if not len(refused):
            return wanted.where(asks, NOTHING)
        preference[refused, wanted[refused]] = NOTHING
