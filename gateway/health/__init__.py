"""How each engine is and how busy: what the guards write down, and policies see. Knows nothing about requests or plans.

board.py     one row per engine, and the snapshot of all
row.py       what is known about one engine
breaker.py   its circuit breaker: closed, open, half open
line.py      who is before a newcomer, and for how long
"""
