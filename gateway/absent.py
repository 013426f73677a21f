"""That what gateways or processes share cannot be used now: whoever asked for it goes on without."""


class Absent(Exception):
    """What is shared cannot be used for this call, now. The message says why, and holds no secret."""
