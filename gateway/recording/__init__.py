"""Exchanges with a server, on record: written without keys, read again, compared with what protocol code knows.

Knows no protocol and no engine: kinds declare both (`engines.remote.exchange`).
"""
