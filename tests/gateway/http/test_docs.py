"""The schema and its page."""

import re
import subprocess
import sys

from .conftest import Gateway


def test_the_schema_lists_every_operation_once(gateway: Gateway) -> None:
    response = gateway.client.get("/docs/openapi.json")
    assert response.headers["content-type"] == "application/json"
    schema = response.json()
    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {
        "/v1/speech",
        "/v1/audio/speech",
        "/v1/speech/{request_id}",
        "/v1/audio/speech/{request_id}",
        "/v1/plan",
        "/v1/models",
        "/v1/models/{model_id}",
        "/v1/voices",
        "/v1/audio/voices",
        "/v1/engines",
        "/v1/admin/reload",
        "/livez",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    speech = schema["paths"]["/v1/speech"]["post"]
    assert "input" in speech["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert {"200", "400", "401", "403", "413", "429", "503"} <= set(speech["responses"])
    assert "audio/mpeg" in speech["responses"]["200"]["content"]
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_the_page_lists_the_operations_and_asks_nobody_outside(gateway: Gateway) -> None:
    response = gateway.client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    page = response.text
    for path in gateway.client.get("/docs/openapi.json").json()["paths"]:
        assert path in page
    assert "<script" not in page
    assert not re.search(r"(src|href|url)\s*[=(]\s*[\"']?(https?:)?//", page)


def test_making_the_application_loads_nothing_heavy() -> None:
    heavy = ["faker", "polyfactory", "numpy", "av", "soxr", "soundfile", "jinja2"]
    code = f"import sys, gateway.http.app; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
