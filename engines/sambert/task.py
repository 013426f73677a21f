"""What is asked of Model Studio for a piece of a request: the model, and the parameters of both protocols.

Knows nothing about connections. Names and ranges of the parameters are those of the public pages on `run-task`.
"""

from __future__ import annotations

from engines.contract import SpeechRequest
from engines.sambert.options import SambertOptions
from engines.sambert.protocol import Task
from engines.sambert.voices import CloudVoice

#: that CosyVoice tells apart
_SEEDS = 65536


def task_of(options: SambertOptions, voice: CloudVoice, request: SpeechRequest, text: str) -> Task:
    """The task that speaks `text`, a piece of `request`, as the options say."""
    is_ssml = request.markup == "ssml"
    parameters: dict[str, object] = {
        "text_type": "PlainText",
        "format": "pcm",
        "sample_rate": options.rate_of(voice),
        "volume": options.volume,
        "rate": request.speed,
        "pitch": options.pitch,
        "word_timestamp_enabled": options.timestamps and voice.timestamps,
    }
    if not options.is_duplex:
        return Task(voice.id, text, parameters | ({"text_type": "SSML"} if is_ssml else {}))
    parameters |= {"voice": voice.id, "enable_ssml": is_ssml}
    if request.seed is not None:
        parameters["seed"] = request.seed % _SEEDS
    return Task(options.model, text, parameters, duplex=True)
