"""Engines: the contract, what they may raise, how they are found, and the ones that ship."""
