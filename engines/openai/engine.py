"""The engine behind kind `openai`: asks its servers, the least busy one first, and passes their audio on as it comes.

Until there is audio, a server that fails is followed by the next; after it, a failure is the speech's. Knows nothing
about routing, formats or clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from engines.contract import AudioChunk, EngineInfo, Instance, SpeechRequest
from engines.errors import EngineFault, SpeechError, Unavailable
from engines.openai import describe
from engines.openai.audio import ReplyAudio
from engines.openai.body import encode, require_able, voice_of
from engines.openai.client import Client, Question, Times
from engines.openai.faults import HOPELESS_S, another_may, judge, mildest
from engines.openai.options import OpenAiOptions
from engines.openai.targets import Target, Targets
from engines.openai.visit import Told, visit
from engines.remote.credentials import NoKey
from engines.remote.exchange import Tap

logger = logging.getLogger("voxgate.openai")

#: seconds between two visits to a server that does not fail
VISIT_EVERY_S = 30.0
#: seconds between two checks by the gateway: a server that will be asked again before the next is visited first
CHECKED_EVERY_S = 5.0
#: models that a message names of those that a server lists
NAMED = 5


class OpenAiEngine:
    """Speaks through servers elsewhere. `tap` looks on at what passes."""

    def __init__(self, instance: Instance, options: OpenAiOptions, tap: Tap | None = None) -> None:
        self._instance, self._options, self._tap = instance, options, tap
        self._dialect = options.dialect()
        self._targets = Targets(options.urls)
        self._client: Client | None = None
        self._key = ""
        self._told: dict[Target, Told] = {}
        self._absent: dict[Target, SpeechError] = {}  # those that could not be spoken to when they were last visited
        self._rate_hz = self._dialect.rate_hz
        self._model = options.model
        self._info = describe(instance, options)

    @property
    def info(self) -> EngineInfo:
        return self._info

    async def start(self) -> None:
        """See who is there and what they list. Raises Unavailable when nobody is, or no model is chosen of several."""
        if self._client is None:
            options = self._options
            self._client = Client(Times(options.connect_s, options.first_byte_s, options.gap_s), self._tap)
        await self._visit(list(self._targets))

    async def check(self) -> None:
        """Visit those that it is time for. Raises Unavailable when nobody is there."""
        if self._client is None:
            raise Unavailable("the engine is not started")
        await self._visit([one for one in self._targets if self._targets.is_due(one, VISIT_EVERY_S, CHECKED_EVERY_S)])

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def synthesize(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk, None]:
        """Speak. Raises what the mildest of the servers' failures was, once all have failed."""
        require_able(request, self._dialect, self._info)
        voice = voice_of(request, self._dialect, self._info)
        body = encode(request, self._dialect, self._model, voice)
        headers = self._headers(request.via, self._dialect.content_type)
        tried: list[Target] = []
        errors: list[SpeechError] = []
        while (target := self._targets.choose(tried)) is not None:
            tried.append(target)
            heard = False
            try:
                async with aclosing(self._ask(target, body, headers)) as chunks:
                    async for chunk in chunks:
                        heard = True
                        yield chunk
                return
            except SpeechError as error:
                if heard or not another_may(error):
                    raise
                errors.append(error)
        raise mildest(errors)

    async def _ask(self, target: Target, body: bytes, headers: Mapping[str, str]) -> AsyncGenerator[AudioChunk, None]:
        """One server's audio, and the account of how it did."""
        clock = asyncio.get_running_loop().time
        began_s, heard = clock(), False
        with self._targets.asking(target):
            try:
                async with aclosing(self._audio(target, body, headers)) as chunks:
                    async for chunk in chunks:
                        heard = True
                        yield chunk
            except SpeechError as error:
                if another_may(error):
                    self._blame(target, error)
                raise
            except (asyncio.CancelledError, GeneratorExit):
                if not heard:
                    self._targets.silent(target, clock() - began_s)
                raise
            self._praise(target)

    async def _audio(self, target: Target, body: bytes, headers: Mapping[str, str]) -> AsyncGenerator[AudioChunk, None]:
        """One server's audio as it comes. Raises where it is not whole."""
        if self._client is None:
            raise Unavailable("the engine is not started")
        async with self._client.ask(Question("POST", target.url + self._dialect.path, headers, body)) as answer:
            if answer.status != 200:
                raise judge(answer.status, answer.headers, await answer.complaint(), self._key)
            audio, heard = ReplyAudio(answer.headers, self._dialect.rate_hz), False
            while piece := await answer.read(begun=heard):
                if not (pcm := audio.take(piece)):
                    continue
                heard = True
                if answer.ends_by_closing and not audio.tells_its_end:
                    raise EngineFault("the end of the answer of the engine's server could not be told from a cut")
                self._hear_rate(audio.rate_hz)
                yield AudioChunk(pcm, audio.rate_hz)
            audio.end()

    # --- what is known of the servers ---

    async def _visit(self, targets: list[Target]) -> None:
        """Visit these at once, and take what they list. Raises Unavailable when no server of all is there."""
        client = self._client
        assert client is not None
        await self._find_key()
        headers = self._headers((), "")

        async def one(target: Target) -> None:
            try:
                before = self._told.get(target, Told())
                told = await visit(client, target.url, self._dialect, headers, self._key, before)
            except SpeechError as error:
                self._absent[target] = error
                self._blame(target, error)
            else:
                self._absent.pop(target, None)
                self._targets.visited(target)
                self._told[target] = told

        if targets:
            await asyncio.gather(*map(one, targets))
            self._describe()
        if len(self._absent) == len(self._targets):
            raise mildest(list(self._absent.values()))
        self._require_model()

    def _require_model(self) -> None:
        """Raises Unavailable where there is a choice of models, and each request would be refused for naming none."""
        if self._model or not (self._dialect.needs_model and self._dialect.takes("model")):
            return
        listed = dict.fromkeys(model for told in self._told.values() for model in told.models or ())
        if len(listed) > 1:
            some = sorted(listed, key=lambda name: "tts" not in name)[:NAMED]  # OpenAI lists dozens, of all trades
            more = ", …" if len(listed) > len(some) else ""
            what = f"has several models ({', '.join(some)}{more}): say which by `model` in engines.yaml"
            raise Unavailable(f"the engine's server {what}", retry_after_s=HOPELESS_S)

    async def _find_key(self) -> None:
        """The key as it is now: a file is read again."""
        places = self._options.key_places
        if places is None:
            return
        try:
            self._key = (await asyncio.to_thread(places.find)).text
        except NoKey:
            raise Unavailable("the key for the engine's server is not there any more") from None

    def _headers(self, via: tuple[str, ...], content_type: str) -> dict[str, str]:
        """Of a request; Via names the gateways that it came through, this one too (RFC 9110, section 7.6.3)."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "voxgate"}
        if content_type:
            headers["Content-Type"] = content_type
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if gateways := [one for one in (*via, self._instance.gateway) if one]:
            headers["Via"] = ", ".join(f"1.1 {one}" for one in gateways)
        return headers

    def _hear_rate(self, rate_hz: int) -> None:
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._describe()

    def _describe(self) -> None:
        """Take what the servers told into `info`."""
        listed = [voice for told in self._told.values() for voice in told.voices or ()]
        only = {told.models[0] for told in self._told.values() if told.models and len(told.models) == 1}
        self._model = self._options.model or (only.pop() if len(only) == 1 else "")
        self._info = describe(self._instance, self._options, listed=listed, model=self._model, rate_hz=self._rate_hz)

    def _blame(self, target: Target, error: SpeechError) -> None:
        if not target.faults:
            self._log(logging.WARNING, target, error.message)
        self._targets.failed(target, error.retry_after_s or 0.0)

    def _praise(self, target: Target) -> None:
        if target.faults:
            self._log(logging.INFO, target, "it speaks again")
        self._targets.succeeded(target)
        self._absent.pop(target, None)

    def _log(self, level: int, target: Target, what: str) -> None:
        of = f" {target.number} of {len(self._targets)}" if len(self._targets) > 1 else ""
        logger.log(level, "engine %s: server%s: %s", self._instance.name, of, what)
