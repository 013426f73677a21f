"""Several gateway processes reload each for itself, and go over to the same new worker."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.packaging.processes import Gateway, engine_workers

pytestmark = pytest.mark.timeout(120)

TEXT = "This is a story about nothing at all. " * 5


def test_two_processes_go_over_to_the_worker_of_a_changed_engine_without_a_failed_request(tmp_path: Path) -> None:
    directory, data = tmp_path / "config", tmp_path / "data"
    directory.mkdir()
    files = {
        "gateway": "version: 1\n",
        "engines": "version: 1\nengines:\n  espeak: {kind: espeak, slots: 1, queue: 50}\n",
        "voices": "version: 1\ndefault: n\nvoices:\n  n: {languages: [en], engines: {espeak: en-us}}\n",
        "policies": "version: 1\nrules:\n  - {name: all, use: [espeak], first_audio_ms: 60000}\n",
    }
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text)
    enough, failures, heard = threading.Event(), list[str](), list[int]()

    def speak(gateway: Gateway) -> None:
        while not enough.is_set():
            try:
                heard.append(len(gateway.speech(TEXT, response_format="pcm").read()))
            except Exception as error:
                failures.append(repr(error))
                return

    with Gateway("--config", str(directory), "--workers", "2", home=tmp_path) as gateway:
        gateway.wait_until(lambda: gateway.log.count("engine espeak is ready") == 2, "both attached")
        (old,) = engine_workers(data)
        callers = [threading.Thread(target=speak, args=(gateway,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for slots in (2, 1, 2):
                before = gateway.log.count("engine espeak (leaving) is closed")
                text = files["engines"].replace("slots: 1", f"slots: {slots}, start_timeout_s: {90 + slots}")
                (directory / "engines.yaml").write_text(text)
                gateway.wait_until(
                    lambda wanted=before + 2: gateway.log.count("engine espeak (leaving) is closed") == wanted,
                    "both processes have let the old worker go",
                )
            gateway.wait_until(lambda: failures or len(engine_workers(data)) == 1, "one worker is left")
        finally:
            enough.set()
            for caller in callers:
                caller.join()
        assert failures == []
        assert engine_workers(data) != [old]
        assert max(heard) - min(heard) < 0.05 * max(heard)  # espeak-ng's output differs a little from time to time
        assert gateway.stop() == 0, gateway.log
