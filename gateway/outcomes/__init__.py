"""What became of each request, for whoever asks later by its id.

outcomes.py   the Protocol, the form in memory, and a record as bytes
records.py    where the processes of a gateway keep such bytes: the Protocol, and its embedded form
shared.py     both together: memory is asked first, what others share is written by the side
"""
