"""Kind `fault` breaks as its mode says, and only as its mode says."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from engines.contract import AudioChunk, Engine, EngineInfo, EngineKind, Instance, Missing, Options, SpeechRequest
from engines.errors import EngineFault, SpeechError, Unavailable
from engines.fault import FaultEngine
from engines.registry import Registry
from engines.testing import EngineConformance, count_beeps, seconds, speak_all

KINDS = Registry.load().kinds
ROOT = Path(__file__).parent.parent.parent
WORDS = "one two three four five"  # 0.6 s


def fault(mode: str, *, in_worker: bool = True, of: dict[str, Any] | None = None, **options: Any) -> Engine:
    kind = KINDS["fault"]
    written = {"of": of or {"kind": "tone"}, "mode": mode, **options}
    instance = Instance("drill", in_worker=in_worker, kinds=KINDS)
    return kind.create(instance, kind.options.model_validate(written, context={"kinds": KINDS}))


async def hear(engine: Engine) -> tuple[list[AudioChunk], SpeechError | None]:
    """What was heard, and what ended it."""
    heard: list[AudioChunk] = []
    try:
        async for chunk in engine.synthesize(SpeechRequest(WORDS, "en")):
            heard.append(chunk)
    except SpeechError as error:
        return heard, error
    return heard, None


class TestFaultThatIsOnlySlow(EngineConformance):
    """A wrapper that does not break keeps every rule: what it wraps may be judged by it."""

    kind = "fault"
    options = {"of": {"kind": "tone"}, "mode": "slow", "delay_s": 0.01, "after_s": 0.2}  # noqa: RUF012


class TestFaultThatLeaks(EngineConformance):
    kind = "fault"
    options = {"of": {"kind": "tone"}, "mode": "leak", "leak_mb": 0.01}  # noqa: RUF012


# --- modes ---


async def test_refuse_is_unavailable_at_once() -> None:
    heard, error = await hear(fault("refuse"))
    assert not heard
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize("after_s", [0.05, 0.12, 0.3, 0.4])
async def test_cut_ends_with_a_fault_after_exactly_the_audio_asked_for(after_s: float) -> None:
    heard, error = await hear(fault("cut", after_s=after_s))
    assert seconds(heard) == pytest.approx(after_s)
    assert isinstance(error, EngineFault)


async def test_cut_of_a_speech_that_is_too_short_is_still_a_fault_and_never_a_normal_end() -> None:
    heard, error = await hear(fault("cut", after_s=99))
    assert seconds(heard) == pytest.approx(0.6)
    assert isinstance(error, EngineFault)


async def test_empty_ends_without_audio_and_without_an_error() -> None:
    assert await hear(fault("empty")) == ([], None)
    assert await hear(fault("empty", after_s=0.4)) == ([], None)


async def test_slow_speaks_the_whole_text_after_its_delay() -> None:
    for after_s in (0, 0.25):
        heard, error = await hear(fault("slow", delay_s=0.01, after_s=after_s))
        assert error is None
        assert count_beeps(b"".join(chunk.pcm for chunk in heard), 24000) == 5


async def test_marks_survive_where_the_speech_is_parted() -> None:
    heard, _ = await hear(fault("slow", delay_s=0, after_s=0.25))
    marks = [mark for chunk in heard for mark in chunk.marks]
    assert [mark.text for mark in marks] == WORDS.split()


@pytest.fixture
async def hanging() -> AsyncIterator[tuple[list[AudioChunk], asyncio.Task[Any]]]:
    heard: list[AudioChunk] = []
    silent = asyncio.Event()

    async def listen() -> None:
        async for chunk in fault("hang", after_s=0.24).synthesize(SpeechRequest(WORDS, "en")):
            heard.append(chunk)
            if seconds(heard) >= 0.24:
                silent.set()

    listening = asyncio.create_task(listen())
    await silent.wait()
    yield heard, listening
    listening.cancel()


async def test_hang_is_silent_for_ever_and_can_be_cancelled(
    hanging: tuple[list[AudioChunk], asyncio.Task[Any]],
) -> None:
    heard, listening = hanging
    done, _ = await asyncio.wait({listening}, timeout=0.05)
    assert not done
    assert seconds(heard) == pytest.approx(0.24)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_leak_grows_by_so_much_a_request_and_speaks() -> None:
    engine = fault("leak", leak_mb=64)  # so large that malloc asks the system: what was freed before is not used again
    before = psutil.Process().memory_info().rss
    for _ in range(3):
        heard, error = await hear(engine)
        assert error is None
        assert heard
    assert psutil.Process().memory_info().rss - before > 150 * 1024 * 1024
    await engine.close()


def in_a_process_of_its_own(body: str) -> subprocess.CompletedProcess[str]:
    script = f"""
import asyncio, sys, threading, time
from engines.contract import Instance, SpeechRequest
from engines.registry import Registry
kinds = Registry.load().kinds
def make(**options):
    kind = kinds["fault"]
    options = kind.options.model_validate({{"of": {{"kind": "tone"}}, **options}}, context={{"kinds": kinds}})
    return kind.create(Instance("drill", in_worker=True, kinds=kinds), options)
async def speak(engine):
    async for chunk in engine.synthesize(SpeechRequest("one two three", "en")):
        print(round(chunk.seconds, 2), flush=True)
{body}
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=50)


def test_crash_dies_by_sigkill_after_its_audio() -> None:
    done = in_a_process_of_its_own('asyncio.run(speak(make(mode="crash", after_s=0.2)))')
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0.12", "0.08"]


def test_hold_gil_stops_every_other_thread() -> None:
    done = in_a_process_of_its_own("""
turns = 0
def turn():
    global turns
    while True:
        turns += 1
        time.sleep(0.001)
threading.Thread(target=turn, daemon=True).start()
engine = make(mode="hold_gil", delay_s=0.5)
from engines.fault import hold_interpreter_lock
while not turns:
    time.sleep(0.001)
before = turns
hold_interpreter_lock(0.5)
print("held", turns - before)
asyncio.run(speak(engine))
""")
    assert done.returncode == 0, done.stderr
    _, turned, *spoken = done.stdout.split()
    assert int(turned) <= 2  # without the lock held it would turn some hundred times
    assert spoken == ["0.12"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_worker_that_holds_its_lock_ends_with_its_parent() -> None:
    done = in_a_process_of_its_own("""
import os
from engines import fault
reader, writer = os.pipe()
if os.fork() == 0:
    os.dup2(writer, 1)
    hold = fault.hold_interpreter_lock
    def tell_and_hold(seconds):
        print("holds", flush=True)
        hold(seconds)
    fault.hold_interpreter_lock = tell_and_hold
    asyncio.run(speak(make(mode="hold_gil", after_s=0.12)))
os.close(writer)
told = b""
while b"holds" not in told and (more := os.read(reader, 99)):
    told += more
print(told.decode(), flush=True)
os._exit(0)
""")
    # The child has its parent's stderr: `run` came back because it has ended too, long before its hour.
    assert done.stdout.split() == ["0.12", "holds"]


# --- the gateway's own process ---


@pytest.mark.parametrize("mode", ["crash", "leak", "hold_gil"])
def test_a_mode_that_harms_its_process_is_refused_outside_a_worker(mode: str) -> None:
    with pytest.raises(Unavailable, match="drill needs `isolation: process`"):
        fault(mode, in_worker=False)


@pytest.mark.parametrize("mode", ["refuse", "slow", "hang", "cut", "empty"])
def test_the_other_modes_may_run_inline(mode: str) -> None:
    assert isinstance(fault(mode, in_worker=False), FaultEngine)


def test_it_runs_in_a_worker_unless_told_otherwise() -> None:
    assert KINDS["fault"].isolation == "process"


# --- what it wraps ---


def errors_of(written: dict[str, Any]) -> list[tuple[tuple[Any, ...], str]]:
    with pytest.raises(ValidationError) as raised:
        KINDS["fault"].options.model_validate(written, context={"kinds": KINDS})
    return [(error["loc"], error["msg"]) for error in raised.value.errors()]


def test_a_wrong_option_of_the_wrapped_kind_is_told_with_its_place() -> None:
    errors = errors_of({"mode": "cut", "of": {"kind": "tone", "beep_ms": 1, "colour": "red"}})
    assert [place for place, _ in errors] == [("of", "beep_ms"), ("of", "colour")]


def test_an_unknown_kind_to_wrap_is_told_with_those_there_are() -> None:
    ((place, message),) = errors_of({"mode": "cut", "of": {"kind": "tome"}})
    assert place == ("of",)
    assert "'tome'" in message
    assert "tone" in message


def test_a_fault_within_a_fault_is_refused() -> None:
    ((place, message),) = errors_of({"mode": "cut", "of": {"kind": "fault", "mode": "cut", "of": {"kind": "tone"}}})
    assert place == ("of",)
    assert "another fault" in message


def test_it_describes_itself_as_what_it_wraps() -> None:
    def fixed(instance: Instance, options: Options) -> EngineInfo:
        return EngineInfo(languages=frozenset({"tlh"}), slots=7, version="k")

    def stands_in_the_way(instance: Instance, options: Options) -> Missing:
        return Missing("not_installed", "get it")

    def create(instance: Instance, options: Options) -> Engine:
        raise AssertionError("describe and missing load nothing")

    klingon = EngineKind("klingon", Options, create, "", "", describe=fixed, missing=stands_in_the_way)
    kinds = {**KINDS, "klingon": klingon}
    kind = KINDS["fault"]
    options = kind.options.model_validate({"mode": "cut", "of": {"kind": "klingon"}}, context={"kinds": kinds})
    instance = Instance("drill", kinds=kinds)
    assert kind.describe is not None
    assert kind.missing is not None
    assert kind.describe(instance, options) == fixed(instance, options)
    assert kind.missing(instance, options) == Missing("not_installed", "get it")


async def test_info_follows_the_wrapped_engine() -> None:
    engine = fault("slow", delay_s=0, of={"kind": "tone", "sample_rate": 16000})
    assert engine.info.any_voice
    assert engine.info.any_language
    chunks = await speak_all(engine, SpeechRequest("one", "xx", voice="whoever"))
    assert {chunk.sample_rate for chunk in chunks} == {16000}
