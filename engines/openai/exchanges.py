"""Exchanges with a speech server that are worth a record, for `voxgate engines record`: with the first of its URLs.

Each begins as the engine begins: with a visit, which shows what the server lists. Imports aiohttp when one is had.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path

from engines.contract import Instance, SpeechRequest
from engines.openai.options import OpenAiOptions
from engines.remote.exchange import Exchange, Tap

Run = Callable[[Tap], Awaitable[None]]

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

    def speaks(text: str, of: OpenAiOptions = one, *, voice: str = "", speed: float = 1.0, leave: bool = False) -> Run:
        return partial(_speak, instance, of, SpeechRequest(text, language, voice, speed=speed), leave)

    found = [
        Exchange("lists", "what the server lists", partial(_speak, instance, one, None, False)),
        Exchange("plain", "a short text", speaks(short), chars=len(short)),
        Exchange(
            "cancelled", "the connection is closed at the first audio", speaks(longer, leave=True), chars=len(longer)
        ),
    ]
    if dialect.takes("speed"):
        found.append(Exchange("faster", "one and a half times the speed", speaks(short, speed=1.5), chars=len(short)))
    if dialect.takes("voice"):
        run = speaks(short, one.model_copy(update={"voices": {_NOBODY: ()}}), voice=_NOBODY)
        found.append(Exchange("unknown-voice", "a voice that nobody has", run, _REFUSED, len(short)))
    if dialect.takes("model"):
        run = speaks(short, one.model_copy(update={"model": _NOBODY}))  # some take whatever they are told
        found.append(Exchange("unknown-model", "a model that nobody has", run, (), len(short)))
    if one.key_places:
        run = partial(_speak_with_no_key, instance, one, SpeechRequest(short, language))
        found.append(Exchange("wrong-key", "a key that nobody has", run, ("unavailable",)))
    if dialect.max_chars:
        text = (longer * (dialect.max_chars // len(longer) + 1))[: dialect.max_chars + 1]
        run = speaks(text, one.model_copy(update={"max_chars": len(text)}))
        found.append(Exchange("too-long", "a character too many", run, _REFUSED, len(text), usual=False))
    return found


async def _speak(
    instance: Instance, options: OpenAiOptions, request: SpeechRequest | None, leave: bool, tap: Tap
) -> None:
    """A visit, and then all of a speech, or only its first audio, or none."""
    from engines.openai.engine import OpenAiEngine

    engine = OpenAiEngine(instance, options, tap)
    try:
        await engine.start()
        if request is None:
            return
        async with aclosing(engine.synthesize(request)) as chunks:
            async for _ in chunks:
                if leave:
                    return
    finally:
        await engine.close()


async def _speak_with_no_key(instance: Instance, options: OpenAiOptions, request: SpeechRequest, tap: Tap) -> None:
    """A visit alone would not do: some servers list for everybody."""
    with _key_file() as file:
        keyed = options.model_copy(update={"api_key_env": None, "api_key_file": file})
        await _speak(instance, keyed, request, False, tap)


@contextmanager
def _key_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="voxgate-") as folder:
        file = Path(folder) / "key"
        file.write_text(_NO_KEY)
        yield file
