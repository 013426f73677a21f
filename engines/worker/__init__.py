"""Engines in processes of their own, behind the same `Engine` protocol.

`client.WorkerEngine` is the gateway's side, `python -m engines.worker` the other. Between them lies a unix socket with
one connection for each request, so that flow control is the socket's buffer, cancelling is closing, and a crash is an
end of file. This file imports nothing: the worker process binds its socket before it loads anything heavy.
"""
