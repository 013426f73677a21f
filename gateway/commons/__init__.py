"""What the processes of `serve --workers N` share when there is no Redis: the embedded forms of cache, limits, outcomes
and flights, held by the first process and called by the others over a unix socket."""
