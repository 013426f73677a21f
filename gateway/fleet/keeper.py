"""Keeps one engine alive: started, checked now and then, and after a loss started again, with a back-off that doubles.

What it finds it writes on the engine's row. One whose model or credentials are missing is a reported
state, looked at again from time to time, not a fault. Knows nothing about other engines, nor about requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from engines.contract import Missing
from engines.errors import SpeechError, without_addresses
from gateway.fleet.member import Member

logger = logging.getLogger("voxgate.fleet")

#: seconds between two looks at a living engine, and at one whose model or credentials are missing
CHECK_EVERY_S, MISSING_EVERY_S = 5.0, 15.0
#: seconds a check may take
CHECK_WITHIN_S = 5.0
#: seconds before a start is tried again: at once after a first loss, then doubling
BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 60.0
#: a pause up to this long (seconds) is worth waiting for, when no other engine can speak
IN_A_MOMENT_S = 1.0
#: an engine that lived this long (seconds) starts with a clean record
CLEAN_AFTER_S = 30.0


async def keep(member: Member, came_up: Callable[[Member], None]) -> None:
    """Keep one engine alive until cancelled. `came_up` is called each time that it did."""
    loop, back_off_s = asyncio.get_running_loop(), 0.0
    while True:
        await _wait_until_installed(member)
        member.returning = True
        if not await _start(member):
            back_off_s = min(max(back_off_s * 2, BACK_OFF_S), LONGEST_BACK_OFF_S)
            member.returning = back_off_s <= IN_A_MOMENT_S
            await _pause(member, back_off_s)
            continue
        up_since = loop.time()
        member.up.set()
        came_up(member)
        reason = await _watch(member)
        member.up.clear()
        back_off_s = 0.0 if loop.time() - up_since > CLEAN_AFTER_S else max(back_off_s * 2, BACK_OFF_S)
        back_off_s = min(back_off_s, LONGEST_BACK_OFF_S)
        member.returning = back_off_s <= IN_A_MOMENT_S
        again = f"starting again in {back_off_s:g} s" if back_off_s else "starting again"
        logger.warning("%s is down: %s; %s", member.title, reason, again)
        member.row.set_state("down", reason)
        await _pause(member, back_off_s)


async def _pause(member: Member, back_off_s: float) -> None:
    member.row.comes_back_in(back_off_s)
    await asyncio.sleep(back_off_s)


async def _wait_until_installed(member: Member) -> None:
    shown = ""
    while missing := _missing(member):
        member.returning = False
        if missing.advice != shown:
            _lacks(member, missing)
            shown = missing.advice
        member.settled.set()
        await asyncio.sleep(MISSING_EVERY_S)


async def _start(member: Member) -> bool:
    """One try to start; True when the engine is up."""
    began, within_s = asyncio.get_running_loop().time(), member.entry.start_timeout_s
    member.lost.clear()
    timer = asyncio.timeout(within_s)
    try:
        async with timer:
            await member.guarded.engine.start()
            await member.guarded.engine.check()  # one that feels ill may take its own start for done
        _take_info(member)
    except SpeechError as error:
        reason = error.message
    except Exception as error:
        if timer.expired():
            reason = f"did not start within {within_s:g} s (start_timeout_s in engines.yaml)"
        else:
            logger.exception("%s failed to start", member.title)
            reason = f"failed to start: {type(error).__name__}: {without_addresses(str(error))}"
    else:
        member.row.set_state("up")
        logger.info("%s is ready after %.2f s", member.title, asyncio.get_running_loop().time() - began)
        member.settled.set()
        return True
    logger.warning("%s: %s", member.title, reason)
    member.row.set_state("down", reason)
    member.settled.set()
    return False


async def _watch(member: Member) -> str:
    """Look at a living engine until it is lost; returns why."""
    while True:
        try:
            async with asyncio.timeout(CHECK_EVERY_S):
                await member.lost.wait()
            return "its process ended"
        except TimeoutError:
            pass
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                await member.guarded.engine.check()
            _take_info(member)
            _look_for_voices(member)
        except SpeechError as error:
            return error.message
        except TimeoutError:
            return f"gave no answer to a check within {CHECK_WITHIN_S:g} s"
        except Exception as error:
            logger.warning("%s: the check failed", member.title, exc_info=error)
            return f"{type(error).__name__}: {without_addresses(str(error))}"


def _take_info(member: Member) -> None:
    member.row.set_info(member.info)
    if member.entry.slots is None:
        member.guarded.slots.limit = max(1, member.info.slots)


def _look_for_voices(member: Member) -> None:
    """A living engine whose users have removed its last voice can speak for nobody until they make another one. It
    stays loaded for that."""
    row, info = member.row, member.info
    missing = _missing(member) if info.cloning and not (info.voices or info.any_voice) else None
    if missing is not None and (row.state, row.reason) != (missing.state, missing.advice):
        _lacks(member, missing)
    elif missing is None and row.state != "up":
        row.set_state("up")
        logger.info("%s is ready again", member.title)


def _lacks(member: Member, missing: Missing) -> None:
    logger.info("%s is %s: %s", member.title, missing.state.replace("_", " "), missing.advice)
    member.row.set_state(missing.state, missing.advice)


def _missing(member: Member) -> Missing | None:
    """What stands in the way of a start, as its kind tells. One that cannot tell is tried: its start will say."""
    kind = member.entry.kind
    if kind.missing is None:
        return None
    try:
        return kind.missing(member.instance, member.entry.options)
    except Exception:
        logger.exception("%s: its kind does not tell what is missing", member.title)
        return None
