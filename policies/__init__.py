"""Routing policies: typed YAML and a pure decision. No I/O, no clock, no randomness, no asyncio."""
