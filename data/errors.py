"""The one error type of the data layer."""


class DataError(ValueError):
    """A file, image, box, id or category that cannot be used; the message is one sentence: what,
    where, what to do.
    """
