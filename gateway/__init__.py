"""The gateway: `pipeline.py` is the way of a request; read it first."""
