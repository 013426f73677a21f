"""The API's schema as one page of HTML: no script, no font, no picture, nothing from elsewhere.

Shows whatever the schema says: no endpoint and no field is known here.
"""

import html
import json
from typing import Any, Final

from litestar import Request
from litestar.openapi.plugins import OpenAPIRenderPlugin

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
    """The page, as Litestar asks for it."""

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
            parts.append(
                f"<h4>Example</h4><pre>{_text(json.dumps(example['value'], ensure_ascii=False, indent=1))}</pre>"
            )
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
