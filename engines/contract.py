"""The contract between the gateway and an engine: frozen data in, PCM out.

Knows nothing about HTTP, keys, formats, routing or any particular engine. A plugin author needs this
module, `engines.errors`, and `hookimpl` from `engines.hooks`; `engines/tone.py` is the example to copy.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from engines.remote.exchange import Exchanges

#: the version of this contract; an `EngineKind` declares which one it was written for
API = 1

Markup = Literal["plain", "ssml"]
Gender = Literal["female", "male", "neutral", ""]
Isolation = Literal["process", "inline"]


@dataclass(frozen=True, slots=True)
class Emotion:
    """How the speech should feel. Engines take the part that they know.

    `weights` maps names (`happy`, `sad`, …) to strengths 0 to 1; `vector` is eight raw numbers for engines that
    take them; `voice` names a voice whose emotion is borrowed; `alpha` is the strength of the whole, 0 to 1.
    """

    weights: tuple[tuple[str, float], ...] = ()
    vector: tuple[float, ...] = ()
    voice: str = ""
    alpha: float = 1.0


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What an engine sees: one clause, already prepared: a sentence, or a piece of a long one.

    `language` is a base code (`zh`, `yue`, `en`, `ja`, …). `voice` is the engine's own name of a voice; empty means
    the engine's default for `language` and `gender`. `speed` 1.0 is the voice's natural rate, 2.0 twice as fast.
    `via` names the gateways that the client's request has come through, as in HTTP's Via (RFC 9110, section 7.6.3): an
    engine that asks another server passes it on there, with its own `Instance.gateway` behind it. It changes no sound.
    """

    text: str
    language: str
    voice: str = ""
    gender: Gender = ""
    markup: Markup = "plain"
    speed: float = 1.0
    instructions: str = ""
    emotion: Emotion | None = None
    seed: int | None = None
    via: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A word's or sentence's time, in seconds from the first sample of the stream."""

    kind: Literal["word", "sentence"]
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of speech: mono PCM, signed 16 bit, little endian, whole samples."""

    pcm: bytes
    sample_rate: int
    marks: tuple[Mark, ...] = ()

    @property
    def samples(self) -> int:
        """Number of samples: two bytes each."""
        return len(self.pcm) // 2

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.sample_rate


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice of an engine, under the engine's own name."""

    id: str
    languages: tuple[str, ...]
    sample_rate: int
    gender: Gender = ""
    tags: tuple[str, ...] = ()
    licence: str = ""
    version: str = ""  # of a voice that its user makes: changes when it sounds different, and so changes the cache key


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine can do, as data. May change after `start()` or when a voice is added.

    `version` names the model and its parameters: whatever would make the same text sound different
    changes it, and so changes the cache key.
    """

    voices: tuple[Voice, ...] = ()
    any_voice: bool = False  # takes whatever voice name it is given
    languages: frozenset[str] = frozenset()
    any_language: bool = False
    max_chars: int | None = None  # longest `SpeechRequest.text`, code points; None: no limit
    slots: int = 1  # requests spoken at once
    streams: bool = True  # gives audio before the whole text is spoken
    cloning: bool = False  # its users make its voices: one that is not there may come
    marks: bool = False  # gives word times
    normalises: bool = False  # reads numbers and dates by itself
    ssml: bool = False  # takes `markup="ssml"`
    local: bool = True  # runs on this machine, as opposed to a cloud
    cost_per_1k_chars: float = 0.0
    licence: str = ""
    version: str = ""
    han_counts: int = 1  # characters that the account is charged for one Han character

    def speaks(self, language: str) -> bool:
        return self.any_language or language in self.languages

    def has_voice(self, voice: str) -> bool:
        return self.any_voice or any(one.id == voice for one in self.voices)

    def lacks(self, voice: str) -> bool:
        """Is it a voice that may be made, and is not there."""
        return self.cloning and not self.has_voice(voice)

    def default_voice(self, language: str, gender: Gender = "") -> str:
        """The engine's own voice for a language, of that gender if it has one; empty if none speaks it."""
        able = [one for one in self.voices if language in one.languages]
        fitting = [one for one in able if one.gender == gender] if gender else able
        return (fitting or able)[0].id if able else ""


@runtime_checkable
class Engine(Protocol):
    """What the gateway drives. The rules of `synthesize` are tests in `engines.testing`:

    1. nothing happens before the first `anext`; 2. at least one non-empty chunk, or an error; 3. one sample rate a
    stream, whole samples; 4. closing the generator at any chunk releases everything soon, and is the only way to
    cancel; 5. no timeout or task group is held across a `yield`; 6. blocking work runs off the event loop; 7. only
    `SpeechError`s are raised on purpose; 8. `info.slots` requests at once are safe.
    """

    @property
    def info(self) -> EngineInfo: ...

    async def start(self) -> None:
        """Load and warm up. Idempotent. Raises `Unavailable` that says what to do."""

    async def check(self) -> None:
        """Cheap liveness. Raises `Unavailable`."""

    def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak `request`; chunks come as soon as they are made."""

    async def close(self) -> None:
        """Release everything. Idempotent."""


class Options(BaseModel):
    """Base of every kind's options in engines.yaml: frozen, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class Missing:
    """Why an instance cannot be started at all, found without loading anything: a state, not a fault."""

    state: Literal["not_installed", "not_configured"]
    advice: str  # the command or setting that mends it


class Quota(Protocol):
    """Keeps all who work with one account at a cloud within what the cloud allows it."""

    def start(self, account: str, what: str, per_s: int, at_once: int) -> AbstractAsyncContextManager[None]:
        """One task: waits a few seconds at most until one more may start, and holds a place until the block ends.

        At most `per_s` tasks start in any one second, and `at_once` are under way; 0: not limited. Counted for each
        `account` (a hash of its key, never the key) and `what`, such as a model: over all gateways that share a Redis,
        else over the processes of this one. Raises Throttled with `retry_after_s` when it would take longer.
        """


@dataclass(frozen=True, slots=True)
class Instance:
    """What an engine is told about itself beside its kind's options."""

    name: str
    slots: int | None = None  # as engines.yaml says; None: the kind decides
    data_dir: Path = Path()  # models/, voices/ and run/ live under it
    in_worker: bool = False  # True inside a worker process
    kinds: Mapping[str, EngineKind] = field(default_factory=dict)  # for kinds that wrap another kind
    #: this gateway's name in HTTP's Via, the same for all its processes and after a restart; empty outside a gateway
    gateway: str = ""
    quota: Quota | None = None  # None in a worker and outside a gateway: nothing is counted


class Progress(Protocol):
    """Hears how far a long piece of work is: `done` of `whole` steps of what `doing` names. May raise to stop it."""

    def __call__(self, doing: str, done: int, whole: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `voxgate models verify` looked at, and what was found."""

    name: str
    passed: bool
    found: str  # for people: what was compared, how far apart it was, and what to do


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file wanted from a repository, or all whose path matches a pattern (`*` stands for any characters, `/` too).

    `place` is where it goes below the download folder: its new name; with a `/` at the end, a folder under which it
    keeps its path in the repository; empty: that path itself.
    """

    path: str
    place: str = ""
    optional: bool = False  # the repository may be without it
    only_for: str = ""  # an option of the recipe's export without which it is not fetched


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository of model files, by its id on each hub that has it (`owner/name`; empty: not there).

    What an earlier source of the recipe has brought to the same place is not fetched again.
    """

    files: tuple[HubFile, ...]
    huggingface: str = ""
    modelscope: str = ""
    licence: str = ""  # where it differs from the recipe's


@dataclass(frozen=True, slots=True)
class ModelRecipe:
    """How a model that its user downloads becomes the bundle that an engine reads: `voxgate models` follows it.

    `export(source, folder, options, progress)` reads the published files in `source` and leaves a whole bundle at
    `folder`, or none: it writes beside it and renames. `options` are the recipe's own, validated. `verify(folder,
    source, progress)` compares a bundle with what it was made from, as numbers; without a source it looks at the
    bundle alone. Both import what they need when they are called, and raise ValueError or SpeechError with what to do.
    """

    name: str  # of the model, its bundle and its folder
    summary: str
    licence: str
    licence_url: str
    sources: tuple[HubSource, ...]
    export: Callable[[Path, Path, Any, Progress], object]
    verify: Callable[[Path, Path | None, Progress], Sequence[Check]]
    options: type[Options] = Options  # what `export` may be told, such as `precision`
    packages: tuple[str, ...] = ()  # top-level modules that `export` imports, looked for before anything is fetched
    extra: str = ""  # of voxgate, or the distribution, that brings them
    bundle_bytes: int = 0  # about what a bundle takes on disk; 0: unknown
    format: int = 0  # of the bundles that the engine reads, as their manifest says


@dataclass(frozen=True, slots=True)
class NewVoice:
    """A voice that is to be made of a recording. `consent` says whose voice it is, and with what permission."""

    name: str
    recording: Path
    consent: str
    emotion: Path | None = None  # a second recording, whose emotion the voice shall have
    licence: str = ""  # of the recording, or how the voice may be used
    languages: tuple[str, ...] = ()  # base codes; empty: all that the engine speaks
    gender: Gender = ""


@dataclass(frozen=True, slots=True)
class ClonedVoice:
    """A voice that was made, as its file says. `problem` is for people, with what to do; empty when it can be used."""

    name: str
    path: Path
    size_bytes: int
    state: Literal["ready", "other_model", "no_model", "damaged"]
    problem: str = ""
    model: str = ""  # the version of the model that it was made for
    seconds: float = 0.0  # of the recording that were listened to
    languages: tuple[str, ...] = ()
    gender: Gender = ""
    licence: str = ""
    consent: str = ""
    created: str = ""  # ISO 8601, UTC
    notes: tuple[str, ...] = ()  # what its maker should know, such as that the recording was cut


class VoiceMaker(Protocol):
    """Makes and keeps the voices of one engine: `voxgate voices` uses it. All of it blocks.

    Raises SpeechError or ValueError with what to do, and OSError.
    """

    def list(self) -> Sequence[ClonedVoice]:
        """By name, those that cannot be used too. Cheap: `damaged` is only what can be seen without reading it all."""

    def make(self, wanted: NewVoice, replace: bool, progress: Progress) -> ClonedVoice:
        """Whole or not at all. A voice of that name is replaced if `replace`, else an error."""

    def verify(self, name: str) -> Sequence[Check]:
        """Read all of a voice."""

    def remove(self, name: str) -> ClonedVoice:
        """What it was."""


@dataclass(frozen=True, slots=True)
class EngineKind:
    """A kind of engine that a plugin offers; engines.yaml names instances of kinds.

    `create` builds an engine without loading it (`Engine.start` loads); it runs in the worker process when the instance
    is isolated. `describe` says, loading nothing, what such an engine will be able to do; `missing` says,
    loading nothing, what stands in the way. `options` is validated with the context `{"kinds": …}`.
    """

    name: str
    options: type[Options]
    create: Callable[[Instance, Any], Engine]
    summary: str
    licence: str
    describe: Callable[[Instance, Any], EngineInfo] | None = None
    missing: Callable[[Instance, Any], Missing | None] | None = None
    isolation: Isolation = "process"  # where instances run unless engines.yaml says otherwise
    isolation_fixed: bool = False  # they run nowhere else: `create` would refuse it, so engines.yaml may not say it
    models: tuple[ModelRecipe, ...] = ()  # what `voxgate models` can fetch and export for it
    voices: Callable[[Instance, Any], VoiceMaker] | None = None  # for kinds whose users make voices; loads nothing
    exchanges: Exchanges | None = None  # for kinds that speak to a server: what `voxgate engines record` can record
    api: int = API
