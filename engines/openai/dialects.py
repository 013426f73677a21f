"""How servers differ that speak, more or less, OpenAI's `POST /v1/audio/speech`: each dialect as data.

From the public references, schemas and sources of OpenAI, vLLM-Omni (docs/serving/speech_api.md), Kokoro-FastAPI
(structures/schemas.py), speaches (routers/speech.py), LocalAI (schema.TTSRequest), index-tts-vllm (api_server.py) and
CosyVoice (runtime/python/fastapi/server.py), as of November 2026. Knows nothing about sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from engines.contract import Gender

Format = Literal["pcm", "wav"]
#: what may be said of a speech beside its text, under the names that it has here; `rate`: the sample rate in Hz
Part = Literal["model", "voice", "format", "rate", "speed", "instructions", "language", "seed", "emotion", "markup"]
Preset = Literal[
    "openai", "vllm-omni", "kokoro-fastapi", "speaches", "localai", "index-tts-vllm", "cosyvoice", "voxgate"
]
Value = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Listed:
    """A voice as a server lists it. Without languages: nobody says which it speaks."""

    name: str
    languages: tuple[str, ...] = ()  # base codes
    gender: Gender = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of server is asked, and what it answers. Paths are below the URL that engines.yaml has."""

    path: str = "/audio/speech"
    form: bool = False  # the body is a form, not JSON
    text: str = "input"  # the field of the text
    names: Mapping[Part, str] = field(default_factory=dict)  # the field of each part that the server takes
    fields: Mapping[str, Value] = field(default_factory=dict)  # further ones, in every request
    #: those that make it send audio while it speaks, where it refuses them together with another speed than 1
    stream_fields: Mapping[str, Value] = field(default_factory=dict)
    streams: bool = True  # it sends audio while it speaks
    format: Format = "pcm"  # what is asked for
    rate_hz: int = 24000  # of PCM whose rate the reply does not tell
    speeds: tuple[float, float] = (0.25, 4.0)  # from, to
    voices_path: str = ""  # where it lists its voices; empty: nowhere
    models_path: str = "/models"  # and its models
    needs_model: bool = False  # it speaks only where a request names one
    voices: tuple[Listed, ...] = ()  # that it has where it lists none
    default_voice: str | None = ""  # where none is named; empty: the server chooses; None: it does not, so the first
    languages: frozenset[str] = frozenset()  # empty: those of its voices, else any
    language_words: Mapping[str, str] = field(default_factory=dict)  # its words for them; empty: the codes
    about_voice: Callable[[str], Listed] | None = None  # where the name of a voice says more
    mixes: bool = False  # `a+b` is a voice where `a` and `b` are
    max_chars: int | None = None

    @property
    def content_type(self) -> str:
        """Of a request's body."""
        return "application/x-www-form-urlencoded" if self.form else "application/json"

    def takes(self, part: Part) -> bool:
        return part in self.names


_USUAL: Mapping[Part, str] = {"model": "model", "voice": "voice", "format": "response_format", "speed": "speed"}

#: of the models that vLLM-Omni serves, Qwen3-TTS wants these words
_QWEN_LANGUAGES = {
    "zh": "Chinese",
    "en": "English",
    "ja": "Japanese",
    "ko": "Korean",
    "de": "German",
    "fr": "French",
    "ru": "Russian",
    "pt": "Portuguese",
    "es": "Spanish",
    "it": "Italian",
}
#: Kokoro's letters: of `lang_code`, and the first of each voice's name; `b` is British
_KOKORO_LETTERS = {"en": "a", "es": "e", "fr": "f", "hi": "h", "it": "i", "ja": "j", "pt": "p", "zh": "z"}
_KOKORO_LANGUAGES = {letter: language for language, letter in _KOKORO_LETTERS.items()} | {"b": "en"}
_KOKORO_GENDERS: Mapping[str, Gender] = {"f": "female", "m": "male"}


def _about_kokoro_voice(name: str) -> Listed:
    """`zf_xiaobei` is a woman who speaks Mandarin."""
    language = _KOKORO_LANGUAGES.get(name[:1]) if name[2:3] == "_" else None
    return Listed(name, (language,), _KOKORO_GENDERS.get(name[1:2], "")) if language else Listed(name)


PRESETS: Mapping[Preset, Dialect] = {
    # OpenAI lists no voices; others that keep to its words do
    "openai": Dialect(
        names={**_USUAL, "instructions": "instructions"},
        voices_path="/audio/voices",
        needs_model=True,
        default_voice="alloy",
        max_chars=4096,
    ),
    # its models have rates from 16 to 48 kHz, which the header of a wav file tells; PCM comes without a word
    "vllm-omni": Dialect(
        names={**_USUAL, "instructions": "instructions", "language": "language"},
        stream_fields={"stream_format": "audio"},  # `stream: true` would be answered with events
        format="wav",
        voices_path="/audio/voices",
        language_words=_QWEN_LANGUAGES,
    ),
    "kokoro-fastapi": Dialect(
        names={**_USUAL, "language": "lang_code"},
        fields={"stream": True},
        voices_path="/audio/voices",
        default_voice="af_heart",
        languages=frozenset(_KOKORO_LETTERS),
        language_words=_KOKORO_LETTERS,
        about_voice=_about_kokoro_voice,
        mixes=True,
    ),
    # a voice or a speed that it lacks breaks off its reply, so that neither may be tried
    "speaches": Dialect(
        names={**_USUAL, "rate": "sample_rate"},
        speeds=(0.5, 2.0),
        voices_path="/audio/voices",
        models_path="/audio/models",
        needs_model=True,
        default_voice=None,
    ),
    # with `stream: true` it sends wav while it speaks, and an error from each backend that cannot
    "localai": Dialect(
        names={**_USUAL, "instructions": "instructions", "language": "language"},
        streams=False,
        format="wav",
        needs_model=True,
    ),
    "index-tts-vllm": Dialect(
        names={"voice": "voice"},
        streams=False,
        format="wav",
        voices_path="/audio/voices",
        models_path="",
        default_voice=None,
        languages=frozenset({"zh", "en"}),
    ),
    # a speaker that it lacks breaks off its reply; these are those of CosyVoice-300M-SFT, which speaks at 22.05 kHz
    "cosyvoice": Dialect(
        path="/inference_sft",
        form=True,
        text="tts_text",
        names={"voice": "spk_id"},
        rate_hz=22050,
        models_path="",
        voices=(
            Listed("中文女", ("zh",), "female"),
            Listed("中文男", ("zh",), "male"),
            Listed("英文女", ("en",), "female"),
            Listed("英文男", ("en",), "male"),
            Listed("粤语女", ("yue",), "female"),
            Listed("日语男", ("ja",), "male"),
            Listed("韩语女", ("ko",), "female"),
        ),
        default_voice=None,
    ),
    "voxgate": Dialect(
        names={
            **_USUAL,
            "rate": "sample_rate",
            "instructions": "instructions",
            "language": "language",
            "seed": "seed",
            "emotion": "emotion",
            "markup": "input_type",
        },
        voices_path="/audio/voices",
    ),
}
