"""What engines that speak phonemes share: how a text is said, as symbols. Knows none of these engines.

Importing anything here loads no phonemiser. espeak-ng is GPL-3.0-or-later: only a worker process may open it.
"""
