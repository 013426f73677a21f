"""What the API says about itself: the OpenAPI schema, and where it is shown.

The speech endpoint reads its body by itself, so its part of the schema is written here; a test compares it with the
fields that are read. Knows nothing about how requests are served.
"""

from dataclasses import dataclass
from typing import Any, Final

from litestar import MediaType, Response, Router
from litestar.datastructures import ResponseHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    License,
    OpenAPIFormat,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
    SecurityScheme,
)

from gateway.audio.encode import media_type
from gateway.audio.rates import SAMPLE_RATES
from gateway.http.docs_page import StaticPage
from gateway.http.wire import EMOTION_NUMBERS, SPEED_RANGE
from gateway.request import FORMATS


def _string(description: str, *allowed: str, default: str | None = None) -> Schema:
    return Schema(type=OpenAPIType.STRING, description=description, enum=list(allowed) or None, default=default)


def _voice(description: str) -> Schema:
    reference = Schema(type=OpenAPIType.OBJECT, properties={"id": Schema(type=OpenAPIType.STRING)}, required=["id"])
    return Schema(one_of=[Schema(type=OpenAPIType.STRING), reference], description=description)


SPEECH_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    title="SpeechBody",
    description="Unknown fields are accepted and named in the header x-voxgate-ignored.",
    required=["input"],
    properties={
        "input": _string("The text to speak."),
        "text": _string("Another name of input."),
        "model": _string("auto, an alias, or an engine's name; see /v1/models.", default="auto"),
        "voice": _voice("A voice's name; see /v1/voices. Default: the one that voices.yaml names."),
        "speaker": _voice("Another name of voice."),
        "response_format": _string("The file's format.", *FORMATS, default="mp3"),
        "speed": Schema(
            type=OpenAPIType.NUMBER,
            minimum=SPEED_RANGE[0],
            maximum=SPEED_RANGE[1],
            default=1.0,
            description="1: as the voice is.",
        ),
        "instructions": _string("How to speak, in words, for engines that take them."),
        "stream": Schema(
            type=OpenAPIType.BOOLEAN, default=True, description="false: the whole clip at once, with its length."
        ),
        "stream_format": _string("How the audio is framed.", "audio", default="audio"),
        "language": _string("A code such as zh or en. Default: found in the text."),
        "sample_rate": Schema(
            type=OpenAPIType.INTEGER, enum=list(SAMPLE_RATES), default=24000, description="Hz. Opus plays at 48000."
        ),
        "emotion": Schema(
            one_of=[Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.OBJECT)],
            description=(
                'A name; {"happy": 0.6}; '
                f'{{"vector": [{EMOTION_NUMBERS} numbers], "alpha": 0.8}}; or {{"voice": NAME, "alpha": 0.8}}.'
            ),
        ),
        "seed": Schema(type=OpenAPIType.INTEGER, description="The same seed gives the same speech, where engines can."),
        "input_type": _string("What input is written in.", "text", "ssml", "markdown", default="text"),
        "tags": Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(type=OpenAPIType.STRING),
            description="Words that policies may look at.",
        ),
        "deadline_ms": Schema(
            type=OpenAPIType.INTEGER, minimum=1, description="The time in which the speech must be made."
        ),
        "cache": _string("Whether a finished clip may be used and kept.", "use", "bypass", default="use"),
    },
)

ERROR_SCHEMA: Final = Schema(
    type=OpenAPIType.OBJECT,
    title="Error",
    required=["error"],
    properties={
        "error": Schema(
            type=OpenAPIType.OBJECT,
            required=["message", "type", "param", "code", "request_id"],
            properties={
                "message": _string("What is wrong, and what to do."),
                "type": _string("OpenAI's kind of error: who has to change something."),
                "param": Schema(type=[OpenAPIType.STRING, OpenAPIType.NULL], description="The field at fault."),
                "code": _string("For programs."),
                "request_id": _string("The same as in the header x-request-id."),
            },
        )
    },
)

_ERRORS: Final = {
    "400": "The request is wrong, or no engine can do what it asks for.",
    "401": "A key is needed, or this one is not valid.",
    "403": "The key may not use this voice or engine, or none of those that could speak.",
    "404": "There is no such model.",
    "413": "The body is too large.",
    "500": "A fault of the gateway.",
    "502": "All engines failed; another try is useless (x-should-retry: false).",
    "429": "A limit of the key is reached: try again after retry-after; x-ratelimit-* tell what is left.",
    "503": "All engines are busy: try again after retry-after. Or none is there: x-should-retry: false.",
    "504": "No audio within the time allowed.",
    "508": "The request has come back to the gateway that it left: the URL of an engine points here.",
}
_HEADERS: Final = {
    "x-request-id": "The request's id; its outcome is at /v1/speech/{request_id}.",
    "x-voxgate-engine": "The engine that is heard.",
    "x-voxgate-voice": "That engine's own name of the voice.",
    "x-voxgate-rule": "The policy's rule that decided.",
    "x-voxgate-cache": "hit, miss, follow or bypass.",
    "x-voxgate-attempts": "How many tries of engines it took until the first audio.",
    "x-voxgate-degraded": "Present when a preferred engine was passed over: engine: reason.",
    "x-voxgate-ignored": "Fields of the body that mean nothing here.",
    "x-ratelimit-limit-requests": "Requests a minute, where they are limited; the same for -characters.",
    "x-ratelimit-remaining-requests": "How many of them are left; the same for -characters.",
    "x-ratelimit-reset-requests": "When all of them will be back, such as 20ms or 6m0s; the same for -characters.",
    "x-sample-rate": "Hz.",
    "server-timing": "Milliseconds until the first audio, or in all for a clip from the cache.",
}


def _error_responses(statuses: dict[str, str]) -> dict[str, OpenAPIResponse]:
    content = {"application/json": OpenAPIMediaType(schema=ERROR_SCHEMA)}
    return {status: OpenAPIResponse(description=why, content=content) for status, why in statuses.items()}


def _speech_body() -> RequestBody:
    example = Example(value={"input": "你好，世界。 Hello, world.", "response_format": "mp3"})
    content = OpenAPIMediaType(schema=SPEECH_SCHEMA, examples={"two languages": example})
    return RequestBody(required=True, content={"application/json": content})


@dataclass
class SpeechOperation(Operation):
    """Body and responses of the speech endpoint."""

    def __post_init__(self) -> None:
        binary = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
        content = {media_type(format).partition(";")[0]: OpenAPIMediaType(schema=binary) for format in FORMATS}
        content["application/json"] = OpenAPIMediaType(
            schema=Schema(type=OpenAPIType.OBJECT, description="For accept: application/json; audio is base64.")
        )
        headers = {
            name: OpenAPIHeader(schema=Schema(type=OpenAPIType.STRING), description=description)
            for name, description in _HEADERS.items()
        }
        spoken = OpenAPIResponse(
            description="Audio, while it is being made (chunked), or whole with its length.",
            content=content,
            headers=dict(headers),
        )
        self.request_body = _speech_body()
        self.responses = {"200": spoken, **_error_responses(_ERRORS)}


@dataclass
class PlanOperation(Operation):
    """Body of the plan endpoint: that of a speech request."""

    def __post_init__(self) -> None:
        self.request_body = _speech_body()
        errors = _error_responses({status: _ERRORS[status] for status in ("400", "401", "403", "404")})
        self.responses = {**(self.responses or {}), **errors}


# --- how it is served ---


async def _json_when_missing(response: Response[Any]) -> Response[Any]:
    """Litestar answers unknown paths under the docs with a page of its own; ours are errors like all others."""
    if response.status_code == 404:
        raise NotFoundException
    return response


def openapi_config(version: str) -> OpenAPIConfig:
    """Schema at /docs/openapi.json, page at /docs; made when first asked for, not at start."""
    policy = ResponseHeader(
        name="content-security-policy", value="default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    return OpenAPIConfig(
        title="Voxgate",
        version=version,
        description="A text-to-speech gateway: one endpoint in front of many engines, routed by policies.",
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{}, {"key": []}],  # none is needed where there are no keys
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        render_plugins=[StaticPage(), JsonRenderPlugin(path="/openapi.json", media_type=MediaType.JSON)],
        openapi_router=Router(
            "/docs",
            route_handlers=[],
            include_in_schema=False,
            after_request=_json_when_missing,
            response_headers=[policy],
        ),
    )
