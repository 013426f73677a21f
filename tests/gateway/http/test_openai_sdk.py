"""OpenAI's own client library, unmodified."""

from collections.abc import Callable, Iterator

import openai
import pytest

from .conftest import Gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any") as one:
        yield one


def test_create_gives_audio(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(model="tts-1", voice="alloy", input="one two", response_format="wav")
    assert speech.content.startswith(b"RIFF")
    assert speech.response.headers["x-voxgate-engine"] == "tone"


def test_all_fields_of_the_library_are_known(client: openai.OpenAI) -> None:
    speech = client.audio.speech.create(
        model="gpt-4o-mini-tts",
        voice={"id": "narrator"},
        input="one two",
        instructions="calmly",
        response_format="pcm",
        speed=1.5,
        stream_format="audio",
    )
    assert speech.content
    assert "x-voxgate-ignored" not in speech.response.headers


def test_streaming_gives_the_same_bytes_piece_by_piece(client: openai.OpenAI) -> None:
    text = "streamed by the library"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format="pcm"
    ) as response:
        assert response.headers["transfer-encoding"] == "chunked"
        pieces = list(response.iter_bytes())
    whole = client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
    assert b"".join(pieces) == whole.content


def test_models_can_be_listed_and_shown(client: openai.OpenAI) -> None:
    assert {"auto", "tts-1", "tone"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("tts-1").id == "tts-1"


def test_a_wrong_request_becomes_the_right_exception(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.speech.create(model="tts-1", voice="nobody", input="one")
    error = caught.value
    assert (error.param, error.code, error.type) == ("voice", "invalid_request", "invalid_request_error")
    assert error.request_id == error.response.headers["x-request-id"]
    with pytest.raises(openai.NotFoundError) as missing:
        client.audio.speech.create(model="tts-9", voice="alloy", input="one")
    assert missing.value.code == "model_not_found"


def test_the_library_does_not_repeat_what_cannot_succeed(with_engine: Callable[..., Gateway]) -> None:
    gateway = with_engine("{kind: fault, of: {kind: tone}, mode: refuse, isolation: inline}", retries=0)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any") as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.audio.speech.create(model="auto", voice="v", input="one")
        assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
        assert caught.value.request_id
