"""The lives of workers: shared, lost, hung, too big, asleep, and started again."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from engines.errors import EngineFault, Unavailable
from tests.engines.worker.workplace import Workplace, alive, eventually, request_of, say


async def test_two_engines_of_one_configuration_share_a_worker(place: Workplace) -> None:
    first, second = place.engine(), place.engine()
    await asyncio.gather(first.start(), second.start())
    assert first.pid == second.pid
    await first.close()
    assert len(await say(second, "say 2")) == 2


async def test_start_is_idempotent_and_safe_at_once(place: Workplace) -> None:
    engine = place.engine()
    await asyncio.gather(*(engine.start() for _ in range(5)))
    pid = engine.pid
    await engine.start()
    assert engine.pid == pid


async def test_another_configuration_has_another_worker(place: Workplace) -> None:
    first, second = await place.started(), await place.started(options={"slots": 5})
    assert first.pid != second.pid
    assert (first.info.slots, second.info.slots) == (2, 5)


async def test_a_new_secret_has_a_new_worker(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRILL_KEY", "old")
    first = await place.started(options={"key_env": "DRILL_KEY"})
    monkeypatch.setenv("DRILL_KEY", "new")
    second = await place.started(options={"key_env": "DRILL_KEY"})
    assert first.pid != second.pid
    (chunk,) = await say(second, "env DRILL_KEY")
    assert chunk.pcm.decode("utf-16-le") == "new"


async def test_two_gateway_processes_share_a_worker(place: Workplace) -> None:
    gateway = place.gateway()
    assert gateway.stdout
    assert gateway.stdin
    engine = await place.started()
    line = await asyncio.to_thread(gateway.stdout.readline)
    assert line == f"attached {engine.pid}\n"
    gateway.stdin.write("say 4\n")
    gateway.stdin.flush()
    assert await asyncio.to_thread(gateway.stdout.readline) == "spoken 4\n"


async def test_a_worker_outlives_the_gateway_that_started_it(place: Workplace) -> None:
    gateway = place.gateway()
    assert gateway.stdout
    line = await asyncio.to_thread(gateway.stdout.readline)
    engine = await place.started()
    assert line == f"attached {engine.pid}\n"
    stream = engine.synthesize(request_of("until go"))
    await anext(stream)
    gateway.kill()
    await asyncio.to_thread(gateway.wait)
    place.touch("go")
    await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert len(await say(engine, "print nobody reads this any more")) == 1
    assert len(await say(engine, "say 3")) == 3
    assert not place.lost


async def test_a_worker_killed_in_mid_speech_is_a_fault_and_can_be_started_again(place: Workplace) -> None:
    engine = await place.started()
    pid = engine.pid
    assert pid
    stream = engine.synthesize(request_of("hold"))
    await anext(stream)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineFault, match=r"died \(killed by SIGKILL"):
        await anext(stream)
    await eventually(lambda: place.lost)
    assert place.lost == ["died (killed by SIGKILL)"]
    with pytest.raises(Unavailable, match="killed by SIGKILL"):
        await say(engine, "say 1")
    with pytest.raises(Unavailable):
        await engine.check()
    await eventually(lambda: not alive(pid))  # reaped: no zombie
    await engine.start()
    assert engine.pid != pid
    assert len(await say(engine, "say 1")) == 1


async def test_audio_made_before_a_crash_is_heard_and_the_end_is_never_clean(place: Workplace) -> None:
    stream = (await place.started()).synthesize(request_of("die"))
    await anext(stream)
    with pytest.raises(EngineFault):
        await anext(stream)


async def test_a_worker_that_answers_no_ping_is_killed_and_reported(place: Workplace) -> None:
    engine = await place.started(hang_timeout_s=0.4)
    pid = engine.pid
    assert pid
    with pytest.raises(EngineFault, match="does not answer"):
        await say(engine, "block")
    await eventually(lambda: place.lost)
    assert "does not answer" in place.lost[0]
    await eventually(lambda: not alive(pid))


async def test_a_stopped_worker_is_killed_too_and_its_place_is_free_again(place: Workplace) -> None:
    engine = await place.started(hang_timeout_s=0.4)
    pid = engine.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: place.lost)
    await engine.start()
    assert engine.pid != pid


async def test_a_worker_found_hanging_is_killed_and_replaced(place: Workplace) -> None:
    first = await place.started(hang_timeout_s=0.4)
    pid = first.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    await first.close()  # before it noticed
    second = await place.started(hang_timeout_s=0.4)
    assert second.pid != pid
    assert len(await say(second, "say 1")) == 1


async def test_a_worker_above_its_memory_limit_is_replaced_without_cutting_speech(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await place.started(memory_limit_mb=250)
    pid = engine.pid
    assert pid
    stream = engine.synthesize(request_of("grow 300"))
    await anext(stream)
    await eventually(lambda: engine.pid not in (None, pid))
    assert alive(pid)
    assert len(await say(engine, "say 3")) == 3  # by the successor
    place.touch("go")
    assert len([chunk async for chunk in stream]) == 1
    await eventually(lambda: not alive(pid))
    assert place.lost == []
    assert "the limit is 250" in caplog.text


async def test_a_worker_that_swells_beyond_all_bounds_is_killed(place: Workplace) -> None:
    engine = await place.started(memory_limit_mb=120)
    pid = engine.pid
    with pytest.raises(EngineFault, match="grew on and was killed"):
        await say(engine, "swell")
    await eventually(lambda: engine.pid not in (None, pid))
    assert len(await say(engine, "say 1")) == 1
    assert place.lost == []


async def test_requests_during_a_change_of_workers_are_all_spoken(place: Workplace) -> None:
    engine = await place.started(slots=4)
    pids = {engine.pid}
    stop = asyncio.Event()

    async def keep_talking() -> int:
        spoken = 0
        while not stop.is_set():
            assert len(await say(engine, "say 2")) == 2
            spoken += 1
        return spoken

    talkers = [asyncio.create_task(keep_talking()) for _ in range(3)]
    for _ in range(3):
        assert engine.pid
        os.kill(engine.pid, signal.SIGTERM)
        await eventually(lambda: engine.pid not in pids | {None})
        pids.add(engine.pid)
        await say(engine, "say 1")
    stop.set()
    assert all(await asyncio.gather(*talkers))
    assert place.lost == []
    place.pids |= {pid for pid in pids if pid}


async def test_sigterm_lets_what_speaks_finish(place: Workplace) -> None:
    engine = await place.started()
    pid = engine.pid
    assert pid
    stream = engine.synthesize(request_of("until go"))
    await anext(stream)
    os.kill(pid, signal.SIGTERM)
    await eventually(lambda: engine.pid not in (None, pid))
    place.touch("go")
    assert len([chunk async for chunk in stream]) == 1
    await eventually(lambda: not alive(pid))
    assert "closed" in place.journal()


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("refuse", "run `voxgate models pull drill`"),
        ("bug", "ZeroDivisionError: one over nothing"),
        ("exit", "the library says goodbye"),
        ("die", "killed by SIGKILL.*libdrill: illegal instruction, sorry"),
    ],
)
async def test_a_start_that_fails_says_why(place: Workplace, start: str, message: str) -> None:
    engine = place.engine(options={"start": start})
    with pytest.raises(Unavailable, match=message):
        await engine.start()
    with pytest.raises(Unavailable):
        await say(engine, "say 1")
    assert engine.pid is None
    with pytest.raises(Unavailable, match=message):
        await engine.start()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "nonsense"}, "there is no engine kind 'nonsense'"),
        ({"options": {"slots": "many"}}, "option slots of kind 'drill'"),
    ],
)
async def test_a_wrong_kind_or_option_is_named(place: Workplace, fields: dict[str, object], message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        await place.engine(**fields).start()


async def test_a_worker_that_retires_does_not_wait_for_ever_for_what_it_speaks(place: Workplace) -> None:
    engine = await place.started(finish_s=0.2)
    stream = engine.synthesize(request_of("hold"))
    await anext(stream)
    assert engine.pid
    psutil.Process(engine.pid).terminate()
    with pytest.raises(EngineFault):
        await anext(stream)
    assert len(await say(engine, "say 1")) == 1  # by its successor


async def test_a_start_that_takes_too_long_is_given_up_with_advice(place: Workplace) -> None:
    engine = place.engine(options={"start": "wait"}, start_timeout_s=1.0)
    with pytest.raises(Unavailable, match="raise start_timeout_s"):
        await engine.start()
    await eventually(lambda: not list(place.run_dir.iterdir()))  # the worker went by itself


async def test_a_worker_told_to_end_while_it_starts_makes_room(place: Workplace) -> None:
    engine = place.engine(options={"start": "wait"})
    start = asyncio.create_task(engine.start())
    (lock,) = await _files(place, "*.lock")
    await _files(place, "*.sock")
    (first,) = [one for one in psutil.Process().children() if "engines.worker" in one.cmdline()]
    await eventually(lambda: _catches(first.pid, signal.SIGTERM))
    first.terminate()
    await eventually(lambda: not alive(first.pid))
    place.touch("go")
    await start
    assert engine.pid != first.pid
    assert lock.read_bytes() == b"started"


async def test_everyone_who_waits_for_a_slow_start_gets_the_same_worker(place: Workplace) -> None:
    engines = [place.engine(options={"start": "wait"}) for _ in range(3)]
    starts = [asyncio.create_task(engine.start()) for engine in engines]
    await _files(place, "*.sock")
    place.touch("go")
    await asyncio.gather(*starts)
    assert len({engine.pid for engine in engines}) == 1


async def test_closing_during_a_start_ends_it(place: Workplace) -> None:
    engine = place.engine(options={"start": "wait"})
    start = asyncio.create_task(engine.start())
    await _files(place, "*.sock")
    await engine.close()
    with pytest.raises(Unavailable, match="is closed"):
        await start


async def test_an_idle_engine_lets_its_worker_go_and_wakes_up_by_itself(place: Workplace) -> None:
    engine = await place.started(idle_unload_s=0.2)
    pid = engine.pid
    assert pid
    await eventually(lambda: engine.state == "asleep")
    await eventually(lambda: not alive(pid))
    await engine.check()  # asleep is not ill
    assert len(await say(engine, "say 2")) == 2
    assert engine.pid != pid
    assert place.lost == []


async def test_an_engine_that_speaks_does_not_fall_asleep(place: Workplace) -> None:
    engine = await place.started(idle_unload_s=0.05)
    stream = engine.synthesize(request_of("until go"))
    await anext(stream)
    pid = engine.pid
    for _ in range(10):
        await engine.check()
        await asyncio.sleep(0.02)
    assert engine.pid == pid
    place.touch("go")
    assert len([chunk async for chunk in stream]) == 1
    await eventually(lambda: engine.state == "asleep")


async def test_a_restarted_gateway_finds_the_worker_warm(place: Workplace) -> None:
    first = await place.started(linger_s=5.0)
    await first.close()
    second = await place.started(linger_s=5.0)
    assert second.pid == first.pid or second.pid in place.pids
    assert len(place.pids) == 1
    assert second.pid
    psutil.Process(second.pid).terminate()


async def test_what_a_worker_prints_is_logged_under_the_engines_name(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    await say(await place.started(), "print the dictionary is missing")

    def logged() -> set[str]:
        return {one.getMessage() for one in caplog.records if one.name == "voxgate.engine.drill"}

    await eventually(lambda: {"the dictionary is missing", "on stdout", "from C"} <= logged())
    assert {one.levelno for one in caplog.records if one.name == "voxgate.engine.drill"} == {logging.WARNING}


async def test_long_lines_are_cut_and_a_flood_of_lines_is_counted(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await place.started()
    await say(engine, "chatter 2000")
    await place.leave()
    lines = [one.getMessage() for one in caplog.records if one.name == "voxgate.engine.drill"]
    assert max(map(len, lines)) <= 2000
    assert len(lines) < 1000


async def test_a_stack_goes_to_the_log(place: Workplace, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EngineFault):
        await say(await place.started(), "bug")
    await eventually(lambda: "Traceback" in caplog.text and "voxgate_drill.py" in caplog.text)


async def test_a_kind_that_wraps_another_finds_it(place: Workplace) -> None:
    options = {"of": {"kind": "drill", "slots": 7}, "mode": "crash"}
    engine = await place.started(kind="fault", options=options)
    assert engine.info.slots == 7
    with pytest.raises(EngineFault, match="SIGKILL"):
        await say(engine, "say 1")


async def test_a_worker_whose_socket_was_swept_away_is_replaced(place: Workplace) -> None:
    engine = await place.started()
    pid = engine.pid
    for path in place.run_dir.iterdir():
        path.unlink()
    assert len(await say(engine, "say 2")) == 2
    assert engine.pid != pid
    assert place.lost == []


@pytest.fixture(scope="module")
def uvloop() -> Any:
    """The module, after a first run: it keeps a pipe for good."""
    module = pytest.importorskip("uvloop")
    module.run(asyncio.sleep(0))
    return module


def test_all_this_holds_on_the_event_loop_of_the_gateway_too(uvloop: Any, place: Workplace, no_leaks: None) -> None:

    async def live() -> None:
        engine = await place.started(slots=2, idle_unload_s=30.0, memory_limit_mb=4000)
        stream = engine.synthesize(request_of("hold"))
        await anext(stream)
        waiting = asyncio.create_task(say(engine, "mute"))
        await eventually(lambda: len(place.journal()) == 2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await eventually(lambda: "end mute" in place.journal())
        assert len(b"".join(chunk.pcm for chunk in await say(engine, f"big {3 << 12}"))) == 3 << 20
        assert engine.pid
        os.kill(engine.pid, signal.SIGKILL)
        with pytest.raises(EngineFault, match="SIGKILL"):
            await anext(stream)
        await eventually(lambda: place.lost)
        await engine.start()
        assert len(await say(engine, "say 1")) == 1
        await place.leave()

    uvloop.run(live())


async def test_nobody_holds_more_than_he_should_after_a_crash(place: Workplace, no_leaks: None) -> None:
    engine = await place.started()
    assert engine.pid
    os.kill(engine.pid, signal.SIGKILL)
    await eventually(lambda: place.lost)
    await engine.start()
    await place.leave()


async def test_a_worker_leaves_its_directory_clean(place: Workplace) -> None:
    engine = await place.started()
    folder: Path = place.run_dir
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.suffix for path in folder.iterdir()} == {".sock", ".lock"}
    await engine.close()
    await eventually(lambda: not list(folder.iterdir()))


async def _files(place: Workplace, pattern: str) -> list[Path]:
    """The files of the run directory, once there are any."""
    await eventually(lambda: place.run_dir.exists() and list(place.run_dir.glob(pattern)))
    return list(place.run_dir.glob(pattern))


def _catches(pid: int, number: int) -> bool:
    """Has the process a handler for this signal yet (proc_pid_status(5), SigCgt)."""
    caught = Path(f"/proc/{pid}/status").read_text().split("SigCgt:")[1].split()[0]
    return bool(int(caught, 16) & 1 << number - 1)
