"""Limits of each key: requests, characters, seconds of audio, requests in flight; and of engines' accounts at clouds.

limiter.py   admits a request, and corrects at its end what it took
permit.py    what one request takes; headers.py what it is told is left
quota.py     the same for engines' accounts at clouds
stay.py      a place among the requests in flight, renewed while it is held
gcra.py      the arithmetic of one bucket, pure
buckets.py   the Protocol of where buckets are kept; memory.py its embedded form
"""
