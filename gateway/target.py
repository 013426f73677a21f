"""Which voice and which engine a request means: `model` and `voice`, resolved against the configuration. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engines.contract import Emotion, EngineInfo, Gender
from engines.errors import InvalidRequest, near_names
from gateway.configuration.load import Config
from gateway.refusals import Forbidden, ModelNotFound
from gateway.request import ClientRequest
from gateway.voices import VoiceEntry

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Target:
    """What was meant. `only` is the one engine that may speak, empty for all that the rules name."""

    model: str  # as the client named it
    voice: str  # canonical name, or ENGINE:VOICE
    entry: VoiceEntry | None  # None: `voice` is one engine's own
    own_voice: str  # that engine's own voice, when the client named it
    asked: bool
    only: str
    emotion: Emotion | None = None  # as the client said it
    emotion_entry: VoiceEntry | None = None  # of the voice that it is borrowed from; None: that is one engine's own

    @property
    def gender(self) -> Gender:
        return self.entry.gender if self.entry else ""

    def mapped(self, engine: str, language: str) -> str | None:
        """The engine's voice as the client or voices.yaml names it; None when neither does."""
        if self.entry is None:
            return self.own_voice if engine == self.only else None
        return self.entry.on(engine, language)

    def voice_on(self, engine: str, language: str, info: EngineInfo | None) -> str:
        """The engine's voice for a language: the mapped one, else its own default; empty lets it choose.

        One that voices.yaml names and that nobody has made yet is none; one that the client names stays what it is.
        """
        mapped = self.mapped(engine, language)
        if info is None or (mapped is not None and (self.entry is None or not info.lacks(mapped))):
            return mapped or ""
        return info.default_voice(language, self.gender) or (self.voice if info.any_voice else "")

    def emotion_on(self, engine: str, language: str) -> Emotion | None:
        """The emotion with the engine's own name for the voice that it is borrowed from; where the engine lacks that
        voice, as the client named it."""
        if self.emotion is None or not self.emotion.voice:
            return self.emotion
        if self.emotion_entry is not None:
            own = self.emotion_entry.on(engine, language)
        else:
            prefix, _, name = self.emotion.voice.partition(":")
            own = name if prefix == engine else None
        return replace(self.emotion, voice=own) if own else self.emotion


def find_target(request: ClientRequest, config: Config) -> Target:
    """Resolve `model` and `voice`. Raises ModelNotFound or InvalidRequest, with near names, and Forbidden."""
    target = _resolve(request, config)
    _check_voice(target.voice, "voice", request, config)
    _check_engine(target, request)
    return replace(target, emotion=request.emotion, emotion_entry=_resolve_emotion(request, config))


def _resolve_emotion(request: ClientRequest, config: Config) -> VoiceEntry | None:
    """The voice that the emotion is borrowed from; None when there is none, or it is an engine's own."""
    if request.emotion is None or not request.emotion.voice:
        return None
    voice, param = request.emotion.voice, "emotion.voice"
    _check_voice(voice, param, request, config)
    prefix, colon, own = voice.partition(":")
    if colon and own and prefix in config.engines:
        return None
    return config.voices.voices[config.voices.resolve(voice, param)]


def _resolve(request: ClientRequest, config: Config) -> Target:
    only = _engine_of(request.model, config)
    prefix, colon, own_voice = request.voice.partition(":")
    if colon and prefix in config.engines:
        if not own_voice:
            raise InvalidRequest(f"voice {request.voice!r} names an engine and no voice of it", param="voice")
        if only and only != prefix:
            raise InvalidRequest(
                f"model {request.model!r} and voice {request.voice!r} name two different engines", param="voice"
            )
        _must_be_enabled(prefix, config)
        return Target(request.model, request.voice, None, own_voice, True, prefix)
    name = config.voices.resolve(request.voice or config.voices.default)
    return Target(request.model, name, config.voices.voices[name], "", bool(request.voice), only)


def models(config: Config) -> dict[str, str]:
    """Every name that `model` may be, and what it stands for."""
    enabled = {name: name for name, entry in config.engines.items() if entry.enabled}
    return {AUTO: AUTO, **config.policy.models, **enabled}


def unknown_model(model: str, known: Iterable[str]) -> ModelNotFound:
    """The error for a name that is none of `known`, with near ones."""
    return ModelNotFound(f"unknown model {model!r}; {near_names(model, known)}", param="model")


def _engine_of(model: str, config: Config) -> str:
    """The engine that a model's name stands for; empty for `auto`."""
    meant = config.policy.models.get(model, model) or AUTO
    if meant == AUTO:
        return ""
    if meant in config.engines:
        _must_be_enabled(meant, config)
        return meant
    raise unknown_model(model, models(config))


def _check_voice(voice: str, param: str, request: ClientRequest, config: Config) -> None:
    allowed, aliases = request.allowed_voices, config.voices.aliases
    if allowed is not None and aliases.get(voice, voice) not in {aliases.get(one, one) for one in allowed}:
        default = "" if param != "voice" or request.voice else ", which speaks when none is named"
        raise Forbidden(f"this key may not use the voice {voice!r}{default}; it may use: {_some(allowed)}", param=param)


def _check_engine(target: Target, request: ClientRequest) -> None:
    """Rules pass over an engine that the key may not use; one that is asked for by name is refused."""
    allowed = request.allowed_engines
    if target.only and allowed is not None and target.only not in allowed:
        param = "voice" if target.entry is None else "model"
        raise Forbidden(f"this key may not use the engine {target.only!r}; it may use: {_some(allowed)}", param=param)


def _some(names: frozenset[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:20]) + (", …" if len(listed) > 20 else "") if listed else "none"


def _must_be_enabled(engine: str, config: Config) -> None:
    if not config.engines[engine].enabled:
        raise ModelNotFound(f"engine {engine!r} is switched off in engines.yaml", param="model")
