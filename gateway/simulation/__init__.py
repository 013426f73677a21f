"""Recorded requests, decided and served once more by another policy, in virtual time. No I/O, clock or randomness."""
