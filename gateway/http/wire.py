"""The body of a speech request as clients send it, and how it becomes a `ClientRequest`.

Accepts what OpenAI's clients and their neighbours send: aliases, nulls, fields that we do not know (they are named back
to the client, never refused). Knows nothing about headers, voices or engines.
"""

import re
from typing import Final, Literal, cast

import msgspec

from engines.contract import Emotion
from engines.errors import InvalidRequest, Unsupported
from gateway.audio.rates import check_sample_rate
from gateway.request import FORMATS, ClientRequest, Format, InputType

SPEED_RANGE: Final = (0.25, 4.0)
EMOTION_NUMBERS: Final = 8  # as many as the vector of the contract has
MAX_TAGS: Final = 16
MAX_TAG_CHARS: Final = 64
MAX_NAME_CHARS: Final = 200  # of a model, a voice, an emotion
SEED_RANGE: Final = (-(2**63), 2**63 - 1)

_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}\Z")

#: a character beyond U+FFFF as two escapes, and one of them alone: what JavaScript makes of an emoji that was cut
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class VoiceReference(msgspec.Struct):
    """OpenAI's other form of `voice`."""

    id: str


class SpeechBody(msgspec.Struct, kw_only=True):
    """Every field that is read. `null` means absent everywhere: SDKs send it for what their caller left out."""

    input: str | None = None
    text: str | None = None  # alias of input
    model: str | None = None
    voice: str | VoiceReference | None = None
    speaker: str | VoiceReference | None = None  # alias of voice
    response_format: str | None = None
    speed: float | None = None
    instructions: str | None = None
    stream: bool | None = None
    stream_format: str | None = None
    language: str | None = None
    sample_rate: int | None = None
    emotion: str | dict[str, float | str | list[float]] | None = None
    seed: int | None = None
    input_type: str | None = None
    tags: list[str] | None = None
    deadline_ms: int | None = None
    cache: str | None = None


_FIELDS: Final = frozenset(SpeechBody.__struct_fields__)
_read = msgspec.json.Decoder(SpeechBody).decode
_read_names = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

_TYPE_NAMES: Final = {
    "str": "a string",
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


class MalformedJson(InvalidRequest):
    """The body is no JSON at all."""

    code = "invalid_json"


def parse_speech(body: bytes, max_chars: int) -> tuple[ClientRequest, list[str]]:
    """The request in `body`, and the names of its fields that mean nothing here.

    Raises InvalidRequest whose `param` names the field at fault, and Unsupported for what a later version may do.
    """
    try:
        wire = _read(body)
        names = _read_names(body)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedJson(_malformation(body, error)) from None
    ignored = [] if names.keys() <= _FIELDS else [name for name in names if name not in _FIELDS]
    return _checked(wire, max_chars, ignored), ignored


def _malformation(body: bytes, error: Exception) -> str:
    if not body:
        return "the body is empty"
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8 text; JSON is sent in UTF-8"
    if _HALF.search(_PAIR.sub(b"", body.replace(rb"\\", b""))):
        return r"the body is not valid JSON: a \u escape names half a character; was the text cut inside an emoji?"
    return f"the body is not valid JSON: {error}"


def _checked(wire: SpeechBody, max_chars: int, ignored: list[str]) -> ClientRequest:
    text, voice = wire.input, wire.voice
    if text is None:
        text = wire.text
    elif wire.text is not None:
        ignored.append("text")
    if voice is None:
        voice = wire.speaker
    elif wire.speaker is not None:
        ignored.append("speaker")
    if text is None:
        raise InvalidRequest("input is required: the text to speak", param="input")
    if len(text) > max_chars:  # as it was sent: preparing it is the work that the limit is to spare us
        raise InvalidRequest(f"input has {len(text)} characters; {max_chars} are allowed", param="input")
    if wire.stream_format == "sse":
        raise Unsupported("stream_format sse is not available; this version streams audio", param="stream_format")
    _one_of("stream_format", wire.stream_format, ("audio",))
    low, high = SPEED_RANGE
    if wire.speed is not None and not low <= wire.speed <= high:
        raise InvalidRequest(f"speed must be between {low} and {high}", param="speed")
    if wire.deadline_ms is not None and wire.deadline_ms <= 0:
        raise InvalidRequest("deadline_ms must be more than 0", param="deadline_ms")
    if wire.seed is not None and not SEED_RANGE[0] <= wire.seed <= SEED_RANGE[1]:
        raise InvalidRequest("seed must fit in 64 bits", param="seed")
    return ClientRequest(
        input=text,
        model=_name("model", wire.model) or "auto",
        voice=_name("voice", voice.id if isinstance(voice, VoiceReference) else voice),
        format=cast("Format", _one_of("response_format", wire.response_format, FORMATS) or "mp3"),
        speed=1.0 if wire.speed is None else wire.speed,
        instructions=wire.instructions or "",
        language=_language(wire.language),
        sample_rate=_sample_rate(wire.sample_rate),
        emotion=None if wire.emotion is None else _emotion(wire.emotion),
        seed=wire.seed,
        input_type=cast("InputType", _one_of("input_type", wire.input_type, ("text", "ssml", "markdown")) or "text"),
        tags=_tags(wire.tags) if wire.tags else frozenset(),
        deadline_ms=wire.deadline_ms,
        cache=cast('Literal["use", "bypass"]', _one_of("cache", wire.cache, ("use", "bypass")) or "use"),
        stream=wire.stream is not False,
    )


def _one_of(param: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    if value is not None and value not in allowed:
        raise InvalidRequest(f"{param} must be {' or '.join(allowed)}, not {_short(value)}", param=param)
    return value


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:39] + "…")


def _name(param: str, value: str | None) -> str:
    if value is None:
        return ""
    if len(value) > MAX_NAME_CHARS:
        raise InvalidRequest(f"{param} is longer than {MAX_NAME_CHARS} characters", param=param)
    return value


def _language(value: str | None) -> str:
    if not value or value.lower() == "auto":  # neighbours' word for "find it out"
        return ""
    if not _LANGUAGE.match(value):
        raise InvalidRequest(f"language must be a code such as zh or en-US, not {_short(value)}", param="language")
    return value


def _sample_rate(value: int | None) -> int:
    if value is None:
        return 24000
    check_sample_rate(value)
    return value


def _tags(tags: list[str]) -> frozenset[str]:
    if len(tags) > MAX_TAGS or any(not 0 < len(tag) <= MAX_TAG_CHARS for tag in tags):
        raise InvalidRequest(
            f"tags must be at most {MAX_TAGS} strings of 1 to {MAX_TAG_CHARS} characters", param="tags"
        )
    return frozenset(tags)


def _emotion(value: str | dict[str, float | str | list[float]]) -> Emotion | None:
    """`"happy"`, `{"happy": 0.6}`, `{"vector": [8 numbers], "alpha": 0.8}` or `{"voice": NAME, "alpha": 0.8}`."""
    if isinstance(value, str):
        return Emotion(weights=((_name("emotion", value), 1.0),)) if value else None
    alpha, voice = 1.0, ""
    vector: tuple[float, ...] = ()
    weights: list[tuple[str, float]] = []
    for name, part in value.items():
        if name == "vector":
            if not isinstance(part, list) or len(part) != EMOTION_NUMBERS:
                raise InvalidRequest(
                    f"emotion.vector must be a list of {EMOTION_NUMBERS} numbers", param="emotion.vector"
                )
            vector = tuple(part)
        elif name == "voice":
            if not isinstance(part, str) or not part:
                raise InvalidRequest("emotion.voice must be a voice's name", param="emotion.voice")
            voice = _name("emotion.voice", part)
        elif not isinstance(part, float) or not 0 <= part <= 1:
            raise InvalidRequest(f"emotion.{_name('emotion', name)} must be a number from 0 to 1", param="emotion")
        elif name == "alpha":
            alpha = part
        else:
            weights.append((_name("emotion", name), part))
    if bool(weights) + bool(vector) + bool(voice) > 1:
        raise InvalidRequest("emotion takes names, or vector, or voice: one of the three", param="emotion")
    return Emotion(tuple(weights), vector, voice, alpha) if weights or vector or voice else None


def _explained(said: str) -> InvalidRequest:
    """msgspec's words, `Expected `float | null`, got `str` - at `$.speed``, for people who do not know msgspec."""
    problem, _, path = said.partition(" - at `$")
    param = re.sub(r"\[\.\.\.\]", "", path.rstrip("`")).lstrip(".") or None
    subject = param or "the body"
    if types := re.match(r"Expected `(.+)`, got `(.+)`", problem):
        expected = [_TYPE_NAMES.get(one, one) for one in types[1].split(" | ") if one != "null"]
        return InvalidRequest(
            f"{subject} must be {' or '.join(expected)}, not {_TYPE_NAMES.get(types[2], types[2])}", param=param
        )
    return InvalidRequest(f"{subject}: {problem[0].lower()}{problem[1:]}", param=param)
