"""Engines that fall silent, and processes that stop answering: nobody waits longer than the rule says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.conftest import Stage
from tests.faults.hearing import FORMS, Heard, ask, judge
from tests.faults.holdings import nothing_left
from tests.faults.scene import fault, rule
from tests.faults.workers import await_worker

TEXT = "One two three. Four."
#: milliseconds after which a silent engine is given up; enough for one that speaks
SHORT_MS = 500
WHERE = {"before the first audio": 0.0, "amid a sentence": 0.2, "at its end": 9.0}


@pytest.mark.parametrize("where", WHERE)
def test_an_engine_that_hangs_is_given_up(stage: Stage, where: str) -> None:
    manners = {"continue": ["spare"], "abort": ["spare"], "alone": []}
    terms = {"first_audio_ms": SHORT_MS, "gap_ms": SHORT_MS}
    engines = {name: fault("hang", after_s=WHERE[where], slots=8) for name in manners}
    rules = [rule(name, [name, *others], **terms) for name, others in manners.items()]
    rules[1]["on_interruption"] = "abort"
    gateway = stage(engines, rules)

    def hear(asked: tuple[str, str]) -> Heard:
        return ask(gateway, TEXT, tags=[asked[0]], **FORMS[asked[1]])

    with nothing_left(gateway), ThreadPoolExecutor(12) as pool:
        asked = [(name, form) for name in manners for form in FORMS]
        for (name, form), heard in zip(asked, pool.map(hear, asked), strict=True):
            verdict = judge(gateway, heard, 4)
            if name == "continue" or (name == "abort" and not WHERE[where]):
                assert verdict == "whole", form
            elif name == "abort" and form == "pcm, streamed":
                assert verdict == "broken"
            else:
                assert verdict in ("broken", "refused"), (name, form)
            if heard.status not in (0, 200):
                assert heard.status in (502, 504)


def test_a_client_s_own_deadline_ends_the_wait(stage: Stage) -> None:
    gateway = stage({"mute": fault("hang"), "half": fault("hang", after_s=0.2)}, [
        rule("mute", ["mute"]), rule("half", ["half"], on_interruption="abort"),
    ])  # fmt: skip
    with nothing_left(gateway):
        heard = ask(gateway, TEXT, tags=["mute"], deadline_ms=200)
        assert (judge(gateway, heard, 4), heard.status) == ("refused", 504)
        assert judge(gateway, ask(gateway, TEXT, tags=["half"], deadline_ms=200), 4) == "broken"
        assert ask(gateway, TEXT, tags=["half"], deadline_ms=200, stream=False).status == 504


@pytest.mark.parametrize("after_s", [0.0, 0.2])
def test_a_process_that_holds_its_interpreter_lock_is_left_alone(stage: Stage, after_s: float) -> None:
    stuck = fault("hold_gil", isolation="process", after_s=after_s, delay_s=1.0)
    terms = {"first_audio_ms": SHORT_MS, "gap_ms": SHORT_MS}
    gateway = stage({"stuck": stuck}, [rule("stuck", ["stuck", "spare"], **terms)])
    await_worker(gateway, "stuck")
    with nothing_left(gateway), ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda form: ask(gateway, TEXT, tags=["stuck"], **FORMS[form]), FORMS))
        assert [judge(gateway, heard, 4) for heard in replies] == ["whole"] * len(FORMS)
