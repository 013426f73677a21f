"""What is said to Model Studio for one task of speech, and what its answers mean: no socket, clock or thread in here.

`OneShot` is Sambert's side of a task: all of the text in the first frame. `Duplex` is CosyVoice's: the text follows
once the task has started. Written from the public pages on both WebSocket APIs (their client events and server events),
which disagree in places: every shape that is documented is taken, and events that are not are passed over.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engines.errors import EngineFault, Unsupported
from engines.sambert.faults import Lost, failed

#: characters that one continue-task may carry (CosyVoice's client events)
PIECE_CHARS = 20_000
#: Speech this short is none: seconds for each letter, Han character or digit. At twice the speed a letter takes about
#: 0.03 s and a Han character 0.08 s.
LEAST_S_PER_CHAR = 0.005
#: More words than this are of no text: all of them are kept until they are heard. Digits are told as several words.
MOST_WORDS, MOST_WORDS_PER_CHAR = 100, 10
#: a day, which no task lasts
LONGEST_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Task:
    """One text for one voice. `parameters` go into run-task as they are; audio is checked by their `format`."""

    model: str
    text: str
    parameters: Mapping[str, object]
    duplex: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The service has taken the task."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A frame of audio as it came: of pcm it may end in the middle of a sample."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Word:
    """Times in milliseconds from the beginning of the task's audio."""

    text: str
    begin_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words of one sentence with their times. Each word is told once, though the service tells some again."""

    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Finished:
    """All audio was given. `characters`: what the account is charged for, where the service said so."""

    characters: int | None


Event = Started | Audio | Sentence | Finished


def exchange_for(task: Task) -> OneShot | Duplex:
    """The exchange that carries out `task`."""
    return Duplex(task) if task.duplex else OneShot(task)


class OneShot:
    """Sambert: one frame out, audio and events back. For one task; its `task_id` is never used again."""

    _streaming = "out"

    def __init__(self, task: Task) -> None:
        self.task = task
        self.task_id = uuid.uuid4().hex
        self.started = self.finished = False
        self.audio_bytes = 0
        self._characters: int | None = None
        self._sentence: object = None  # which one was told last, and
        self._told = 0  # how many of its words
        self._words = 0  # of all sentences

    def begin(self) -> str:
        """The frame that asks for the task."""
        return self._run_task({"text": self.task.text})

    def text(self) -> Iterator[str]:
        """The frames to send once the task has started: none."""
        return iter(())

    def receive(self, frame: str | bytes) -> Event | None:
        """What a frame means; None: nothing. Raises the SpeechError that it stands for."""
        if isinstance(frame, bytes):
            return self._hear(frame)
        message = _object(frame)
        header, payload = _part(message, "header"), _part(message, "payload")
        event = header.get("event")
        self._check_id(header.get("task_id"), event)
        match event:
            case "task-started" if not self.started:
                self.started = True
                return Started()
            case "result-generated" if self.started:
                self._count(payload)
                return self._tell(payload)
            case "task-finished":
                self._count(payload)
                self._check_sound()
                self.finished = True
                return Finished(self._characters)
            case "task-failed":
                raise failed(str(header.get("error_code") or ""), str(header.get("error_message") or ""))
        return None

    def lost(self) -> Lost:
        """What it means that the connection ended before task-finished."""
        after = f"after {self.audio_bytes} bytes of audio" if self.audio_bytes else "before any audio"
        return Lost(f"the speech service broke off {after}: try again")

    def _run_task(self, text: Mapping[str, object]) -> str:
        return self._frame(
            "run-task",
            {
                "model": self.task.model,
                "task_group": "audio",
                "task": "tts",
                "function": "SpeechSynthesizer",
                "parameters": dict(self.task.parameters),
                "input": text,
            },
        )

    def _frame(self, action: str, payload: Mapping[str, object]) -> str:
        header = {"action": action, "task_id": self.task_id, "streaming": self._streaming}
        return json.dumps({"header": header, "payload": payload}, ensure_ascii=False)

    def _hear(self, frame: bytes) -> Audio | None:
        if not self.started:
            raise Lost("the speech service sent audio of a task that it had not started: try again")
        self.audio_bytes += len(frame)
        return Audio(frame) if frame else None

    def _check_id(self, task_id: object, event: object) -> None:
        """A failure may come without an id: of a task that could not be read."""
        if task_id != self.task_id and not (task_id in (None, "") and event == "task-failed"):
            kind = EngineFault if self.started else Lost
            raise kind("the speech service answered with events of another task: try again")

    def _count(self, payload: Mapping[str, object]) -> None:
        """Take the characters charged: the sum so far."""
        characters = _part(payload, "usage").get("characters")
        if isinstance(characters, int) and not isinstance(characters, bool):
            self._characters = characters

    def _tell(self, payload: Mapping[str, object]) -> Sentence | None:
        """The words that are new: a sentence may come again as it grows."""
        sentence = _part(_part(payload, "output"), "sentence")
        words, which = sentence.get("words"), (sentence.get("index"), sentence.get("begin_time"))
        if not isinstance(words, list):
            return None
        if which != self._sentence:
            self._sentence, self._told = which, 0
        new = tuple(word for one in words[self._told :] if (word := _word(one)) is not None)
        self._told = len(words)
        self._words += len(new)
        if self._words > MOST_WORDS + MOST_WORDS_PER_CHAR * len(self.task.text):
            raise EngineFault("the speech service told more words than the text has: try again")
        return Sentence(new) if new else None

    def _check_sound(self) -> None:
        """Raise where the service says that it has spoken and has not: such a success must never be kept."""
        chars = _speakable(self.task.text)
        if not chars and not self.audio_bytes:
            raise Unsupported("there is nothing to speak in this text", param="input")
        seconds = _seconds(self.audio_bytes, self.task.parameters)
        if not self.audio_bytes or (seconds is not None and seconds < chars * LEAST_S_PER_CHAR):
            given = f"{seconds:.2g} s" if seconds else "none"
            raise EngineFault(f"the speech service finished {chars} letters without their audio ({given}): try again")


class Duplex(OneShot):
    """CosyVoice: the text follows in pieces, and its end is told."""

    _streaming = "duplex"

    def begin(self) -> str:
        """The frame that asks for the task, still without text."""
        return self._run_task({})

    def text(self) -> Iterator[str]:
        """The frames to send once the task has started."""
        text = self.task.text
        for at in range(0, len(text), PIECE_CHARS):
            yield self._frame("continue-task", {"input": {"text": text[at : at + PIECE_CHARS]}})
        yield self._frame("finish-task", {"input": {}})


def _object(frame: str) -> Mapping[str, object]:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("header"), dict):
        raise EngineFault("the speech service sent what is not of its protocol: try again")
    return message


def _part(of: Mapping[str, object], name: str) -> Mapping[str, object]:
    """A part of a message, which may also be absent, null or something else."""
    part = of.get(name)
    return part if isinstance(part, dict) else {}


def _word(told: object) -> Word | None:
    """A word with its times; None where one of them is missing."""
    if not isinstance(told, dict) or not isinstance(text := told.get("text"), str):
        return None
    begin_ms, end_ms = _ms(told.get("begin_time")), _ms(told.get("end_time"))
    return None if begin_ms is None or end_ms is None else Word(text, begin_ms, end_ms)


def _ms(told: object) -> float | None:
    """A time within a task: JSON may also hold NaN, and numbers of any length."""
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told <= LONGEST_MS:
        return None
    return float(told)


def _speakable(text: str) -> int:
    """Letters, Han characters and digits, without those of SSML's tags."""
    return sum(one.isalnum() for one in re.sub(r"<[^>]*>", "", text))


def _seconds(audio_bytes: int, parameters: Mapping[str, object]) -> float | None:
    """How long audio is, where its format tells: mono pcm of 16 bit."""
    rate = parameters.get("sample_rate")
    return audio_bytes / 2 / rate if parameters.get("format") == "pcm" and isinstance(rate, int) else None
