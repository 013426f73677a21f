"""API keys, once they are read: `keyring.py` finds who is behind one, `caller.py` is who asks, and what it may.

`gateway/configuration/keys.py` reads them, `gateway/http/access.py` asks for them.
"""
