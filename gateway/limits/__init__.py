"""Limits of each key: requests, characters, seconds of audio, requests in flight."""
