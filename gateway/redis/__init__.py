"""What several gateways share by one Redis, and how each goes on without it. Knows nothing about HTTP or engines.

store.py      the one Redis, used within a budget; pool.py its connections, faults.py and probe.py how it is
clips.py      behind the cache in memory
records.py    what became of requests
claims.py     who makes which speech now
buckets.py    limits
bulletin.py   news of engines' health

Each of the last five is a Protocol of `gateway.shared` that has an embedded form besides.
"""
