"""What the API says about itself: the OpenAPI schema, and a page that shows it without asking anyone outside.

The speech endpoint reads its body by itself, so its part of the schema is written here; a test compares it with the
fields that are read. Knows nothing about how requests are served.
"""

import html
from dataclasses import dataclass
from typing import Any, Final

from litestar import Request, Response, Router
from litestar.datastructures import ResponseHeader
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import (
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
)

from gateway.audio.encode import media_type
from gateway.audio.rates import SAMPLE_RATES
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
    "404": "There is no such model.",
    "413": "The body is too large.",
    "500": "A fault of the gateway.",
    "502": "All engines failed; another try is useless (x-should-retry: false).",
    "503": "All engines are busy: try again after retry-after. Or none is there: x-should-retry: false.",
    "504": "No audio within the time allowed.",
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
        self.responses = {**(self.responses or {}), **_error_responses({key: _ERRORS[key] for key in ("400", "404")})}


# --- the page ----------------------------------------------------------------------------------------

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--get:#2b7de1;--post:#1d9a5b}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:2rem 1rem}
h1{margin:0}h2{margin:2.5rem 0 .5rem;text-transform:capitalize}code{font-family:ui-monospace,monospace;font-size:.92em}
details{border:1px solid var(--line);border-radius:.5rem;margin:.5rem 0;overflow:hidden}
summary{cursor:pointer;padding:.6rem .8rem;display:flex;gap:.8rem;align-items:baseline;flex-wrap:wrap}
summary:hover{background:var(--soft)}details>div{padding:0 .8rem .8rem}
b{color:#fff;border-radius:.3rem;padding:.05rem .5rem;font-size:.8rem;background:var(--get)}
b.post{background:var(--post)}
table{border-collapse:collapse;width:100%;font-size:.92rem}
td,th{text-align:left;vertical-align:top;padding:.3rem .5rem;border-top:1px solid var(--line)}
h4{margin:1rem 0 .3rem}.dim{opacity:.7}pre{background:var(--soft);padding:.8rem;border-radius:.5rem;overflow-x:auto}
"""


class StaticPage(OpenAPIRenderPlugin):
    """The schema as one page of HTML: no script, no font, no picture, nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/", favicon="", style="")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return render_page(openapi_schema).encode()


def render_page(schema: dict[str, Any]) -> str:
    """The page for an OpenAPI schema."""
    groups: dict[str, list[str]] = {}
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            groups.setdefault((operation.get("tags") or ["other"])[0], []).append(_operation(method, path, operation))
    sections = "".join(f"<h2>{_text(tag)}</h2>{''.join(rows)}" for tag, rows in groups.items())
    info = schema["info"]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{_text(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{_text(info['title'])} <small class=dim>{_text(info['version'])}</small></h1>"
        f"<p>{_text(info.get('description', ''))}</p>"
        "<p class=dim>Every path also answers without /v1. "
        'For programs: <a href="/docs/openapi.json">openapi.json</a></p>'
        f"{sections}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{_text(operation['description'])}</p>"] if operation.get("description") else []
    if parameters := operation.get("parameters"):
        rows = [(one["name"], one["in"], one.get("description", "")) for one in parameters]
        parts.append(_table("Parameters", rows))
    if body := operation.get("requestBody"):
        content = body["content"]["application/json"]
        for example in content.get("examples", {}).values():
            parts.append(f"<h4>Example</h4><pre>{_text(_json(example['value']))}</pre>")
        fields = content["schema"].get("properties", {}).items()
        required = content["schema"].get("required", [])
        parts.append(
            _table("Body", [(name, _type(one, name in required), one.get("description", "")) for name, one in fields])
        )
    for status, response in operation.get("responses", {}).items():
        if headers := response.get("headers"):
            rows = [(name, "", one.get("description", "")) for name, one in headers.items()]
            parts.append(_table(f"Headers of {status}", rows))
    answers = operation.get("responses", {}).items()
    kinds = [(status, ", ".join(one.get("content") or ()), one.get("description", "")) for status, one in answers]
    parts.append(_table("Responses", kinds))
    return (
        f"<details><summary><b class={method}>{method.upper()}</b><code>{_text(path)}</code>"
        f"<span class=dim>{_text(operation.get('summary', ''))}</span></summary><div>{''.join(parts)}</div></details>"
    )


def _type(schema: dict[str, Any], required: bool) -> str:
    """A field's type in a few words."""
    if "enum" in schema:
        words = " | ".join(str(one) for one in schema["enum"])
    elif "oneOf" in schema:
        words = " | ".join(one.get("type", "") for one in schema["oneOf"])
    else:
        words = str(schema.get("type", ""))
    if "minimum" in schema:
        words += f", from {schema['minimum']}" + (f" to {schema['maximum']}" if "maximum" in schema else "")
    return words + (", required" if required else f"; default {schema['default']}" if "default" in schema else "")


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    cells = "".join(
        f"<tr><td><code>{_text(name)}</code></td><td>{_text(kind)}</td><td>{_text(about)}</td></tr>"
        for name, kind, about in rows
    )
    return f"<h4>{_text(title)}</h4><table>{cells}</table>"


def _text(value: object) -> str:
    return html.escape(str(value))


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=1)


# --- how it is served --------------------------------------------------------------------------------


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
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        render_plugins=[StaticPage(), JsonRenderPlugin(path="/openapi.json", media_type="application/json")],  # type: ignore[arg-type]
        openapi_router=Router(
            "/docs",
            route_handlers=[],
            include_in_schema=False,
            after_request=_json_when_missing,
            response_headers=[policy],
        ),
    )
