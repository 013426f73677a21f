"""Fixtures for every folder of tests."""

import os

from tests.redis_at_hand import _one_redis, make_redis, redis_server, shared_redis

__all__ = ["_one_redis", "make_redis", "redis_server", "shared_redis"]

# No test speaks with a cloud by its developer's key, and all find the shipped configuration without one.
for _name in [name for name in os.environ if name.startswith("DASHSCOPE_")]:
    del os.environ[_name]
