"""Fixtures for every folder of tests."""

from tests.redis_at_hand import _one_redis, make_redis, redis_server, shared_redis

__all__ = ["_one_redis", "make_redis", "redis_server", "shared_redis"]
