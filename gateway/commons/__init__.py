"""What the processes of `serve --workers N` share when there is no Redis: the first of them holds the embedded forms
that `gateway.shared` names, and the others call them over a unix socket.

host.py    the side that holds them
link.py    the side that calls; clips.py its cache, which misses while nobody answers
wire.py    how calls travel
"""
