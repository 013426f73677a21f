"""Engines that end at every piece of audio: whoever listens hears each word once, or sees that it broke off."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from engines.contract import AudioChunk, SpeechRequest
from engines.worker.client import WorkerEngine
from tests.faults.conftest import Stage
from tests.faults.hearing import FORMS, Verdict, ask, judge
from tests.faults.holdings import nothing_left
from tests.faults.scene import WORD_MS, fault, rule
from tests.faults.workers import await_worker, pid_of

CHUNK_MS = 60
FORM_NAMES = list(FORMS)
#: what a reply is that was broken off once audio was released: an encoder may still have kept all of it
BROKEN: dict[str, set[Verdict]] = {
    "pcm, streamed": {"broken"},
    "mp3, streamed": {"broken", "refused"},
    "wav, whole": {"refused"},
    "wav in JSON": {"refused"},
}


@pytest.mark.usefixtures("nobody_dies")
@pytest.mark.parametrize("text", ["One two three four. Five six.", "One, two."])
def test_an_engine_that_breaks_off_at_any_piece(stage: Stage, text: str) -> None:
    words = len(text.split())
    first = len(text.split(".")[0].split())  # it breaks off in the first sentence: the others never get to it
    stops = range(0, first * WORD_MS + 1, CHUNK_MS)
    manners: dict[str, tuple[list[str], dict[str, object]]] = {
        "continue": (["spare"], {}),
        "abort": (["spare"], {"on_interruption": "abort"}),
        "alone": ([], {}),
    }
    engines = {f"{name}-{ms}": fault("cut", after_s=ms / 1000) for name in manners for ms in stops}
    rules = [
        rule(f"{name}-{ms}", [f"{name}-{ms}", *others], **terms)
        for name, (others, terms) in manners.items()
        for ms in stops
    ]
    gateway = stage(engines, rules)
    with nothing_left(gateway):
        for ms in stops:
            for form, fields in FORMS.items():
                for name in manners:
                    heard = ask(gateway, text, tags=[f"{name}-{ms}"], **fields)
                    expected: set[Verdict] = {"whole"}
                    if name == "alone":
                        expected = {"refused"}  # a sentence is released when it is finished: nothing was heard yet
                    elif name == "abort" and ms:
                        expected = BROKEN[form]
                    assert judge(gateway, heard, words) in expected, (ms, form, name)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that died are started again without a pause, however often."""
    monkeypatch.setattr("gateway.fleet.keeper.BACK_OFF_S", 0.0)


class Killer:
    """Kills a worker when the gateway has so many pieces of audio of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        speak = WorkerEngine.synthesize_in_turn

        async def watched(
            engine: WorkerEngine, request: SpeechRequest, waits: Callable[[bool], None]
        ) -> AsyncGenerator[AudioChunk, None]:
            self._look(engine, 0)
            async with aclosing(speak(engine, request, waits)) as chunks:
                async for chunk in chunks:
                    self._look(engine, 1)
                    yield chunk

        monkeypatch.setattr(WorkerEngine, "synthesize_in_turn", watched)

    def arm(self, pieces: int) -> None:
        self._left = pieces

    @property
    def struck(self) -> bool:
        return self._left is None

    def _look(self, engine: WorkerEngine, given: int) -> None:
        if self._left is not None:
            self._left -= given
        if self._left == 0:
            self._left = None
            assert engine.pid
            os.kill(engine.pid, signal.SIGKILL)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("on_interruption", ["continue", "abort"])
@pytest.mark.parametrize("others", [["spare"], []], ids=["and another", "alone"])
def test_a_worker_killed_at_any_piece(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, others: list[str], on_interruption: str
) -> None:
    killer = Killer(monkeypatch)
    tone = {"kind": "tone", "isolation": "process", "chunk_ms": CHUNK_MS, "real_time_factor": 0.25}
    gateway = stage({"mortal": tone}, [rule("kill", ["mortal", *others], on_interruption=on_interruption)])
    await_worker(gateway, "mortal")
    with nothing_left(gateway):
        for pieces in range(9):  # two words of two pieces in each sentence
            form = FORM_NAMES[pieces % len(FORM_NAMES)]
            killer.arm(pieces)
            victim = pid_of(gateway, "mortal")
            heard = ask(gateway, "One two. Three four.", tags=["kill"], **FORMS[form])
            assert killer.struck
            found = judge(gateway, heard, 4)
            if on_interruption == "continue" or not pieces:
                assert found == "whole", (pieces, heard)  # by the other, or by the same one, back again
            elif pieces < 8:
                assert found in BROKEN[form], (pieces, heard)
            await_worker(gateway, "mortal", victim)


@pytest.mark.usefixtures("at_once")
def test_a_worker_that_crashes_before_amid_and_after_its_words(stage: Stage) -> None:
    after_s = {"before": 0.0, "amid": 0.2, "after": 9.0}
    engines = {name: fault("crash", isolation="process", after_s=seconds) for name, seconds in after_s.items()}
    rules: list[dict[str, Any]] = []
    for name in engines:
        rules += [rule(name, [name, "spare"]), rule(f"{name}, abort", [name, "spare"], on_interruption="abort")]
        rules.append(rule(f"{name}, alone", [name], first_audio_ms=3000))
    gateway = stage(engines, rules)
    for name in engines:
        await_worker(gateway, name)
    with nothing_left(gateway):
        for name in engines:
            for tag, expected in ((name, "whole"), (f"{name}, abort", "broken"), (f"{name}, alone", "refused")):
                victim = pid_of(gateway, name)
                heard = ask(gateway, "One two three. Four.", tags=[tag])
                assert judge(gateway, heard, 4) == ("whole" if tag == "before, abort" else expected), tag
                await_worker(gateway, name, victim)
