"""Exchanges with a speech server that are worth a record, for `voxgate engines record`: with the first of its URLs.

Each begins as the engine begins: with a visit, which shows what the server lists. Imports aiohttp when one is had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

from engines.contract import Instance, SpeechRequest
from engines.openai.options import OpenAiOptions
from engines.remote.exchange import Exchange, Tap

_TEXTS: Mapping[str, tuple[str, str]] = {
    "en": ("One, two, three.", "It is a fine day, and we are going for a walk in the park: will you come with us?"),
    "zh": ("你好。", "今天天气很好，我们一起去公园散步，好不好？"),
}
_NOBODY = "nobody"
_NO_KEY = "sk-" + "0" * 32
#: what a server may answer to what it does not know: a complaint, or one that came too late for a status
_REFUSED = ("unsupported", "engine_fault")


def exchanges(instance: Instance, options: OpenAiOptions) -> Sequence[Exchange]:
    """Those that the server's dialect has words for."""
    one = options.model_copy(update={"urls": options.urls[:1]})
    dialect = one.dialect()
    language = "zh" if "zh" in dialect.languages and "en" not in dialect.languages else "en"
    short, longer = _TEXTS[language]

    def case(name: str, summary: str, text: str = "", *, of: OpenAiOptions = one, voice: str = "", speed: float = 1.0,
             leave: bool = False, ends: tuple[str, ...] = ("",), usual: bool = True) -> Exchange:  # fmt: skip
        request = SpeechRequest(text, language, voice, speed=speed)
        return Exchange(name, summary, partial(_speak, instance, of, request, leave), ends, len(text), usual=usual)

    found = [
        Exchange("lists", "what the server lists", partial(_visit, instance, one)),
        case("plain", "a short text", short),
        case("cancelled", "the connection is closed at the first audio", longer, leave=True),
    ]
    if dialect.takes("speed"):
        found.append(case("faster", "one and a half times the speed", short, speed=1.5))
    if dialect.takes("voice"):
        anyone = one.model_copy(update={"voices": {_NOBODY: ()}})
        found.append(case("unknown-voice", "a voice that nobody has", short, of=anyone, voice=_NOBODY, ends=_REFUSED))
    if dialect.takes("model"):
        any_model = one.model_copy(update={"model": _NOBODY})  # some take whatever they are told
        found.append(case("unknown-model", "a model that nobody has", short, of=any_model, ends=()))
    if one.key_places:
        found.append(
            Exchange("wrong-key", "a key that nobody has", partial(_with_no_key, instance, one), ("unavailable",))
        )
    if dialect.max_chars:
        text = (longer * (dialect.max_chars // len(longer) + 1))[: dialect.max_chars + 1]
        patient = one.model_copy(update={"max_chars": len(text)})
        found.append(case("too-long", "a character too many", text, of=patient, ends=_REFUSED, usual=False))
    return found


async def _visit(instance: Instance, options: OpenAiOptions, tap: Tap) -> None:
    from engines.openai.engine import OpenAiEngine

    engine = OpenAiEngine(instance, options, tap)
    try:
        await engine.start()
    finally:
        await engine.close()


async def _speak(instance: Instance, options: OpenAiOptions, request: SpeechRequest, leave: bool, tap: Tap) -> None:
    """All of a speech, or only its first audio."""
    from engines.openai.engine import OpenAiEngine

    engine = OpenAiEngine(instance, options, tap)
    try:
        await engine.start()
        async with aclosing(engine.synthesize(request)) as chunks:
            async for _ in chunks:
                if leave:
                    return
    finally:
        await engine.close()


async def _with_no_key(instance: Instance, options: OpenAiOptions, tap: Tap) -> None:
    """A speech with a key that nobody has. A visit alone would not do: some servers list for everybody."""
    with _key_file() as file:
        keyed = options.model_copy(update={"api_key_env": None, "api_key_file": file})
        await _speak(instance, keyed, SpeechRequest(_TEXTS["en"][0], "en"), False, tap)


@contextmanager
def _key_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="voxgate-") as folder:
        file = Path(folder) / "key"
        file.write_text(_NO_KEY)
        yield file
