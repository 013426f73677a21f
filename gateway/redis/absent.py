"""That what processes share cannot be used now. Apart from the store, so that to know it does not load its library."""


class Absent(Exception):
    """Redis cannot be used for this call, now; go on without it. The message says why, and holds no secret."""
