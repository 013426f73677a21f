"""OpenAI's own client library, unmodified, meets in the stand-in servers what it meets in real ones."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import openai
import pytest
import soundfile

from engines.testing import count_beeps
from tests.engines.openai.servers import (
    IndexTtsVllm,
    KokoroFastAPI,
    LocalAI,
    OpenAI,
    Server,
    Speaches,
    VllmOmni,
    faults,
)
from tests.engines.openai.servers.dialect import Dialect

Start = Callable[[Dialect], tuple[Server, openai.OpenAI]]
TEXT = "one two three"


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(dialect)` gives a running server and the library's client of it, which retries without waiting."""
    with ExitStack() as stack:

        def one(dialect: Dialect) -> tuple[Server, openai.OpenAI]:
            server = stack.enter_context(Server(dialect))
            client = openai.OpenAI(base_url=server.url, api_key="sk-stand-in", timeout=20)
            return server, stack.enter_context(client)

        yield one


def heard(audio: bytes) -> tuple[int, int]:
    """How many beeps an audio file has, and its sample rate in Hz."""
    data, rate_hz = soundfile.read(io.BytesIO(audio), dtype="int16")
    return count_beeps(data.tobytes(), rate_hz), rate_hz


@pytest.mark.parametrize("form", ["mp3", "opus", "flac", "wav"])
def test_each_format_is_what_it_says(start: Start, form: str) -> None:
    server, client = start(OpenAI())
    speech = client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT, response_format=form)  # type: ignore[arg-type]
    assert heard(speech.content)[0] == 3
    assert server.speeches[0].json["response_format"] == form


@pytest.mark.parametrize(
    ("dialect", "model", "voice"),
    [
        (OpenAI(), "gpt-4o-mini-tts", "marin"),
        (KokoroFastAPI(), "kokoro", "af_bella(2)+zf_xiaobei"),
        (VllmOmni(key="sk-stand-in"), VllmOmni.model, "Vivian"),
        (Speaches(key="sk-stand-in"), Speaches.model, "am_adam"),
        (LocalAI(), LocalAI.model, "zh-huayan"),
        (IndexTtsVllm(), "any", "小雅"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else None,
)
def test_every_dialect_speaks_wav_at_the_rate_of_its_model(
    start: Start, dialect: Dialect, model: str, voice: str
) -> None:
    _, client = start(dialect)
    speech = client.audio.speech.create(model=model, voice=voice, input=TEXT, response_format="wav")
    assert heard(speech.content) == (3, dialect.rate_hz)


def test_speed_is_heard(start: Start) -> None:
    _, client = start(KokoroFastAPI())
    lengths = [
        len(
            client.audio.speech.create(
                model="kokoro", voice="af_heart", input=TEXT, response_format="pcm", speed=speed
            ).content
        )
        for speed in (1.0, 2.0)
    ]
    assert lengths == [17280, 8640]  # three beeps and gaps of 120 ms at 24 kHz


def test_the_first_audio_comes_while_the_rest_is_made(start: Start) -> None:
    server, client = start(OpenAI())
    server.then(faults.held(5000))
    speak = client.audio.speech.with_streaming_response.create
    with speak(model="tts-1", voice="alloy", input=TEXT, response_format="pcm") as answer:
        assert answer.headers["content-type"] == "audio/pcm"
        pieces = answer.iter_bytes()
        got = next(pieces)
        while len(got) < 5000:
            got += next(pieces)
        assert len(got) == 5000
        server.go_on()
        assert len(got + b"".join(pieces)) == 17280


def test_events_are_lines_of_json(start: Start) -> None:
    _, client = start(OpenAI())
    speak = client.audio.speech.with_streaming_response.create
    with speak(model="gpt-4o-mini-tts", voice="alloy", input=TEXT, stream_format="sse") as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert all(line.startswith('data: {"type": "speech.audio.delta"') for line in lines[:-1])
    assert lines[-1].startswith('data: {"type": "speech.audio.done", "usage"')


def test_connections_are_kept(start: Start) -> None:
    server, client = start(KokoroFastAPI())
    for stream in (True, False):
        body = {"stream": stream}
        client.audio.speech.create(model="kokoro", voice="af_heart", input="one", extra_body=body)
    client.models.list()
    assert (server.connections, len(server.heard)) == (1, 3)


def test_models_are_listed(start: Start) -> None:
    for dialect in (OpenAI(), KokoroFastAPI(), VllmOmni(), Speaches(), LocalAI()):
        _, client = start(dialect)
        assert [model.object for model in client.models.list()]


@pytest.mark.parametrize(
    ("dialect", "fields", "raised", "code", "param"),
    [
        (OpenAI("another"), {}, openai.AuthenticationError, "invalid_api_key", None),
        (OpenAI(), {"model": "tts-9"}, openai.NotFoundError, "model_not_found", "model"),
        (OpenAI(), {"voice": "nobody"}, openai.BadRequestError, "invalid_value", "voice"),
        (OpenAI(), {"extra_body": {"seed": 1}}, openai.BadRequestError, "unknown_parameter", "seed"),
        (OpenAI(), {"input": "a " * 2049}, openai.BadRequestError, "string_above_max_length", "input"),
        (KokoroFastAPI(), {"voice": "nobody"}, openai.BadRequestError, None, None),
        (VllmOmni("another"), {}, openai.AuthenticationError, None, None),
        (VllmOmni(), {"model": VllmOmni.model}, openai.BadRequestError, "400", None),
        (Speaches("another"), {}, openai.PermissionDeniedError, None, None),
        (Speaches(), {}, openai.NotFoundError, None, None),
        (LocalAI(), {}, openai.NotFoundError, "404", None),
        (IndexTtsVllm(), {}, openai.NotFoundError, None, None),
    ],
)
def test_complaints_raise_what_the_real_servers_raise(
    start: Start,
    dialect: Dialect,
    fields: dict[str, object],
    raised: type[openai.APIStatusError],
    code: str | None,
    param: str | None,
) -> None:
    _, client = start(dialect)
    with pytest.raises(raised) as caught:
        client.audio.speech.create(**{"model": "tts-1", "voice": "alloy", "input": TEXT, **fields})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_busy_server_is_asked_again_when_it_says(start: Start) -> None:
    server, client = start(OpenAI())
    server.then(faults.failing(429, "Rate limit reached", "rate_limit_exceeded", retry_after_ms="1"))
    client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    assert [one.headers["x-stainless-retry-count"] for one in server.speeches] == ["0", "1"]


def test_what_is_not_worth_a_retry_is_told_once(start: Start) -> None:
    server, client = start(OpenAI())
    server.always(faults.failing(503, "The engine is overloaded", x_should_retry="false"))
    with pytest.raises(openai.InternalServerError):
        client.audio.speech.create(model="tts-1", voice="alloy", input=TEXT)
    assert len(server.speeches) == 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.cut(5000),
        faults.cut(5000, sized=True),
        faults.cut(0, "reset"),
        faults.hanging_up(),
        faults.hanging_up("reset"),
        faults.gibberish(),
    ],
    ids=["cut", "short of its length", "reset", "hangs up", "hangs up by reset", "gibberish"],
)
def test_an_answer_that_is_not_whole_is_no_answer(start: Start, fault: faults.Fault) -> None:
    server, client = start(OpenAI())
    server.always(fault)
    with pytest.raises(openai.APIConnectionError):
        client.with_options(max_retries=0).audio.speech.create(
            model="tts-1", voice="alloy", input=TEXT, response_format="pcm"
        )
    assert not server.speeches[0].answered.is_set()


def test_hollow_success_is_success_to_the_library(start: Start) -> None:
    """So it is to whoever asks a gateway: nobody but the gateway will notice."""
    server, client = start(KokoroFastAPI())
    server.then(faults.empty(), faults.half_a_sample(), faults.error_with_200(), faults.page())
    told = [
        client.audio.speech.create(model="kokoro", voice="af_heart", input=TEXT, response_format="pcm") for _ in "1234"
    ]
    assert [len(one.content) for one in told[:2]] == [0, 17279]
    assert [one.response.headers["content-type"] for one in told[2:]] == [
        "application/json",
        "text/html; charset=utf-8",
    ]


def test_a_client_that_leaves_is_noticed(start: Start) -> None:
    server, client = start(OpenAI())
    server.then(faults.held(5000))
    speak = client.audio.speech.with_streaming_response.create
    with speak(model="tts-1", voice="alloy", input=TEXT, response_format="pcm") as answer:
        next(answer.iter_bytes())
    assert server.speech().left.wait(20)
    assert not server.speech().answered.is_set()


def test_a_server_that_was_stopped_comes_back_on_its_port(start: Start) -> None:
    server, client = start(KokoroFastAPI())
    client.models.list()
    server.stop()
    with pytest.raises(openai.APIConnectionError):
        client.with_options(max_retries=0).models.list()
    server.start()
    assert client.models.list().data
