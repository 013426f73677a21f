"""Single flight: one making of a speech for all who ask for it at the same time, in this process and across processes.

flight.py    one making and its listeners, in this process
flights.py   who makes what now
claims.py    who makes what across processes: the Protocol, and its embedded form
across.py    what is made here, written behind a claim; what is made elsewhere, read from behind one
"""
