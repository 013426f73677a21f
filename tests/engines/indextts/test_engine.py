"""The engine on the reference model: what is heard, who hears it beside others, and what is left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.contract import AudioChunk, Emotion, SpeechRequest
from engines.errors import EngineFault, InvalidRequest, SpeechError, Unavailable, Unsupported
from engines.indextts.decoding import Decoder
from engines.indextts.engine import IndexTtsEngine
from engines.indextts.length_regulator import frames_of
from engines.indextts.model import PAUSE_S, IndexTts
from engines.indextts.sampling import Sampler, Scores
from engines.indextts.schedule import Schedule
from engines.indextts.sizes import MelSizes, Sizes
from engines.indextts.speech import Segment, Speech
from engines.indextts.voicing import Piece, Voicing
from models.bundle import Bundle
from tests.engines.indextts.home import OPTIONS, add_voice, make_engine, make_home, pcm, say
from tests.engines.indextts.oracle import Oracle

pytestmark = pytest.mark.usefixtures("opened_once")
Start = Callable[..., Any]


@pytest.fixture
def text(oracle: Oracle) -> str:
    """A short one."""
    return min((one["text"] for one in oracle.texts()), key=len)


@pytest.fixture
def longer(oracle: Oracle) -> str:
    """One of several segments when the first may be short."""
    texts = [one for one in oracle.texts() if len(one["segments_max20_quick8"]) > 1]
    return texts[0]["text"]


@pytest.fixture
def mel(bundle: Bundle) -> MelSizes:
    return Sizes.of_json(bundle.sizes).mel


@pytest.fixture
async def start(home: Path) -> AsyncGenerator[Start, None]:
    async with AsyncExitStack() as stack:

        async def start(place: Path = home, **options: Any) -> IndexTtsEngine:
            engine = make_engine(place, **options)
            stack.push_async_callback(engine.close)
            await engine.start()
            assert isinstance(engine, IndexTtsEngine)
            return engine

        yield start


def wave(chunks: list[Any]) -> np.ndarray:
    return np.frombuffer(pcm(chunks), "<i2").astype(np.float64)


async def test_equal_requests_with_equal_seeds_sound_equal_whoever_speaks_beside_them(
    start: Start, text: str, longer: str
) -> None:
    engine = await start()
    alone = [pcm(await say(engine, one, seed=seed)) for one, seed in ((text, 1), (text, 2), (longer, 1))]
    together = await asyncio.gather(
        say(engine, text, seed=1), say(engine, longer, seed=1), say(engine, text, seed=2), say(engine, text, seed=1)
    )
    assert [pcm(one) for one in together] == [alone[0], alone[2], alone[1], alone[0]]
    assert alone[0] != alone[1]


async def test_requests_without_a_seed_take_that_of_the_options(start: Start, text: str) -> None:
    engine = await start(seed=7)
    assert pcm(await say(engine, text)) == pcm(await say(engine, text, seed=7))


async def test_the_first_piece_comes_before_the_rest_is_made_and_all_join_without_a_click(
    start: Start, text: str, mel: MelSizes
) -> None:
    engine = await start()
    chunks = await say(engine, text)
    codes = OPTIONS["max_codes"]  # the reference model says nothing else than to go on
    assert len(chunks) > 1
    assert chunks[0].samples <= frames_of(OPTIONS["stream_codes"]) * mel.hop
    assert sum(one.samples for one in chunks) == frames_of(codes) * mel.hop
    heard, seams = wave(chunks), np.cumsum([one.samples for one in chunks])[:-1]
    steps = np.abs(np.diff(heard))
    assert steps[seams - 1].max() <= np.quantile(steps, 0.999)


async def test_a_piece_is_made_with_what_is_decoded_beyond_its_end(
    start: Start, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, beyond = await start(), []
    speak = Voicing.speak

    def speak_and_tell(voicing: Voicing, piece: Piece, codes: list[int], latents: np.ndarray) -> Any:
        beyond.append((len(codes) - piece.stop, 0 if piece.last else piece.margin))
        return speak(voicing, piece, codes, latents)

    monkeypatch.setattr(Voicing, "speak", speak_and_tell)
    await say(engine, text)
    assert len(beyond) > 1
    assert all(found == margin for found, margin in beyond)
    assert beyond[0][1] > 0


async def test_a_segment_made_whole_is_as_long_as_in_pieces(start: Start, text: str) -> None:
    whole, pieces = await say(await start(stream_codes=0), text), await say(await start(), text)
    assert sum(one.samples for one in whole) == sum(one.samples for one in pieces)


async def test_between_segments_there_is_a_pause_faded_out_and_in(start: Start, longer: str, mel: MelSizes) -> None:
    engine = await start(max_segment_tokens=20, stream_codes=0)
    heard = wave(await say(engine, longer))
    pause = round(PAUSE_S * mel.sample_rate)
    silent = np.convolve(heard == 0, np.ones(pause), "valid") == pause
    begin = int(np.argmax(silent))
    assert silent.any()
    for edge in (heard[begin - 3 : begin], heard[begin + pause : begin + pause + 3]):
        assert np.abs(edge).max() < 0.05 * np.abs(heard).max()
    said = frames_of(OPTIONS["max_codes"]) * mel.hop
    assert (len(heard) - said) % (said + pause) == 0


async def test_speed_changes_the_length(start: Start, text: str, mel: MelSizes) -> None:
    engine = await start()
    for speed in (0.5, 2.0):
        samples = sum(one.samples for one in await say(engine, text, speed=speed))
        assert samples == frames_of(OPTIONS["max_codes"], speed) * mel.hop


async def test_an_emotion_is_heard_and_a_wrong_one_refused(start: Start, text: str) -> None:
    engine = await start()
    plain = pcm(await say(engine, text))
    happy = pcm(await say(engine, text, emotion=Emotion(weights=(("happy", 1.0),))))
    borrowed = pcm(await say(engine, text, emotion=Emotion(voice="other", alpha=0.5)))
    assert happy != plain
    assert len({plain, happy, borrowed}) >= 2
    with pytest.raises(InvalidRequest):
        await say(engine, text, emotion=Emotion(vector=(0.1,) * 3))
    with pytest.raises(Unsupported, match="nobody"):
        await say(engine, text, emotion=Emotion(voice="nobody"))


@pytest.mark.parametrize("stream_codes", [0, OPTIONS["stream_codes"]])
async def test_a_speech_that_the_model_does_not_end_is_an_error_and_never_looks_whole(
    start: Start, text: str, stream_codes: int
) -> None:
    engine = await start(unfinished="fail", stream_codes=stream_codes)
    heard: list[AudioChunk] = []

    async def listen() -> None:
        async for chunk in engine.synthesize(SpeechRequest(text, "zh")):
            heard.append(chunk)

    with pytest.raises(EngineFault, match=f"no end .* within {OPTIONS['max_codes']} codes"):
        await listen()
    assert bool(heard) == bool(stream_codes)


async def test_what_the_model_lost_itself_in_is_said_in_halves(
    start: Start, longer: str, mel: MelSizes, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Sampler] = []
    said = 12

    class Stopping(Sampler):
        """The second of all never stops."""

        def advance(self, logits: Scores) -> tuple[list[int], list[int]] | None:
            if len(self.codes) == said and self not in made[1:2]:
                self.stopped = True
                return None
            return super().advance(logits)

    def make(*wanted: Any) -> Sampler:
        made.append(Stopping(*wanted))
        return made[-1]

    monkeypatch.setattr("engines.indextts.decoding.Sampler", make)
    engine = await start(unfinished="fail", max_segment_tokens=20, first_segment_tokens=0, stream_codes=0)
    assert engine._worker is not None
    assert engine._worker.model is not None
    whole = len(engine._worker.model.front.segments(longer, 20, 0, "zh"))
    made.clear()  # the warm-up's
    samples = sum(one.samples for one in await say(engine, longer))
    pauses = whole * round(PAUSE_S * mel.sample_rate)  # one more than there would be
    assert samples == (whole + 1) * frames_of(said) * mel.hop + pauses


async def test_instructions_are_left_to_engines_that_can_follow_them(start: Start, text: str) -> None:
    with pytest.raises(Unsupported) as refused:
        await say(await start(), text, instructions="whisper")
    assert refused.value.param == "instructions"


async def test_a_listener_who_leaves_frees_its_row_between_two_codes(start: Start, text: str) -> None:
    engine = await start(max_codes=90, stream_codes=0, rows=1, beams=1)
    stream = engine.synthesize(SpeechRequest(text, "zh"))
    waiting = asyncio.ensure_future(anext(stream))
    decoder = await decoding(engine)
    waiting.cancel()
    await asyncio.wait([waiting])
    await stream.aclose()
    await say(engine, text)  # which ends only when the thread has gone on
    assert not decoder.running
    assert decoder.room == engine.info.slots  # as many rows as slots, at least


async def test_who_leaves_amid_his_speech_is_forgotten(
    start: Start, text: str, longer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, left, leave = await start(max_segment_tokens=20, ahead_s=0.1), [], Schedule._leave

    def leave_and_tell(schedule: Schedule, speech: Speech) -> None:
        left.append(speech.request.text)
        leave(schedule, speech)

    monkeypatch.setattr(Schedule, "_leave", leave_and_tell)
    stream = engine.synthesize(SpeechRequest(longer, "zh"))
    await anext(stream)
    await stream.aclose()
    await say(engine, text)
    assert longer in left


async def decoding(engine: IndexTtsEngine) -> Decoder:
    """The decoder, once it has something to do."""
    assert engine._worker is not None
    assert engine._worker.model is not None
    decoder = engine._worker.model.decoder
    while not decoder.running:  # noqa: ASYNC110 (its thread tells nobody)
        await asyncio.sleep(0)
    return decoder


async def test_a_listener_who_does_not_listen_is_not_run_ahead_of(start: Start, longer: str) -> None:
    engine = await start(max_segment_tokens=20, ahead_s=0.2)
    stream = engine.synthesize(SpeechRequest(longer, "zh"))
    first = await anext(stream)
    other = await say(engine, longer)  # somebody else's whole speech is made meanwhile
    rest = [chunk async for chunk in stream]
    assert pcm([first, *rest]) == pcm(other)


async def test_a_voice_added_or_replaced_while_it_runs_is_spoken_with(
    start: Start, oracle: Oracle, bundle: Bundle, text: str, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "first")
    engine = await start(home)
    with pytest.raises(Unsupported, match="no voice 'second'"):
        await say(engine, text, voice="second")
    add_voice(home, bundle, oracle, "second", seed=1)
    before = pcm(await say(engine, text, voice="second"))
    versions = {voice.id: voice.version for voice in engine.info.voices}
    assert set(versions) == {"first", "second"}
    add_voice(home, bundle, oracle, "second", seed=2)
    assert pcm(await say(engine, text, voice="second")) != before
    after = {voice.id: voice.version for voice in engine.info.voices}
    assert (after["first"] == versions["first"], after["second"] == versions["second"]) == (True, False)


async def test_what_is_loaded_is_described_whatever_has_taken_its_place(
    start: Start, oracle: Oracle, bundle: Bundle, bundle_int8: Bundle, text: str, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "first")
    engine = await start(home)
    version, spoken = engine.info.version, pcm(await say(engine, text))
    place = home / "models" / "indextts2"
    place.unlink()
    place.symlink_to(bundle_int8.folder, target_is_directory=True)
    add_voice(home, bundle, oracle, "second", seed=1)  # which lets it look anew
    assert [voice.id for voice in engine.info.voices] == ["first", "second"]
    assert engine.info.version == version, "clips of it must not be kept as the new bundle's"
    place.unlink()
    add_voice(home, bundle, oracle, "third", seed=2)
    assert [voice.id for voice in engine.info.voices] == ["first", "second", "third"]
    assert pcm(await say(engine, text, voice="first")) == spoken
    await engine.close()
    place.symlink_to(bundle_int8.folder, target_is_directory=True)
    await engine.start()
    assert engine.info.version != version


async def test_others_speak_while_a_long_text_is_read_and_who_leaves_meanwhile_is_forgotten(
    start: Start, text: str
) -> None:
    engine = await start()
    stream = engine.synthesize(SpeechRequest("它在3公里外花了5元，" * 2000, "zh"))
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert pcm(await say(engine, text))
    waiting.cancel()
    await asyncio.wait([waiting])
    await stream.aclose()
    assert pcm(await say(engine, text))


async def test_a_voice_whose_file_is_damaged_is_unsupported_and_the_others_speak(
    start: Start, oracle: Oracle, bundle: Bundle, text: str, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "good")
    damaged = add_voice(home, bundle, oracle, "bad", seed=1)
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    engine = await start(home)
    with pytest.raises(Unsupported, match="damaged"):
        await say(engine, text, voice="bad")
    assert pcm(await say(engine, text, voice="good"))


async def test_it_is_warmed_up_with_a_voice_that_can_be_spoken_with(
    start: Start, oracle: Oracle, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "a-bad-one", "good")
    damaged = home / "voices" / "indextts" / "a-bad-one.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    spoken: list[str] = []
    begin = IndexTts.begin

    def begin_and_tell(model: IndexTts, segment: Segment) -> None:
        spoken.append("a segment")
        begin(model, segment)

    monkeypatch.setattr(IndexTts, "begin", begin_and_tell)
    await start(home)
    assert spoken == ["a segment"]


async def test_a_gender_is_honoured_where_no_voice_is_named(
    start: Start, oracle: Oracle, bundle: Bundle, text: str, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "a-woman")
    add_voice(home, bundle, oracle, "the-man", seed=1, gender="male")
    engine = await start(home)
    named, chosen = await say(engine, text, voice="the-man"), await say(engine, text, gender="male")
    assert pcm(named) == pcm(chosen) != pcm(await say(engine, text))


async def test_beams_are_searched_with(start: Start, text: str) -> None:
    engine = await start(beams=2, rows=2, max_codes=20)
    assert pcm(await say(engine, text)) == pcm(await say(engine, text))


async def test_a_bundle_of_another_precision_speaks(
    start: Start, oracle: Oracle, bundle_int8: Bundle, text: str, mel: MelSizes, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle_int8, oracle, "narrator")
    engine = await start(home)
    assert sum(one.samples for one in await say(engine, text)) == frames_of(OPTIONS["max_codes"]) * mel.hop


async def test_openvino_makes_the_same_sound(start: Start, text: str) -> None:
    pytest.importorskip("openvino")
    # whether it rounds to 16 bit depends on the processor
    one, other = wave(await say(await start(), text)), wave(await say(await start(provider="openvino"), text))
    assert len(one) == len(other)
    assert np.sqrt(np.mean((one - other) ** 2)) < 0.2 * np.sqrt(np.mean(one**2))


async def test_keys_and_values_may_be_kept_in_8_bit(
    start: Start, oracle: Oracle, bundle_int8: Bundle, text: str, mel: MelSizes, tmp_path: Path
) -> None:
    home = make_home(tmp_path / "data", bundle_int8, oracle, "narrator")
    engine = await start(home, kv="int8")
    assert sum(one.samples for one in await say(engine, text)) == frames_of(OPTIONS["max_codes"]) * mel.hop


async def test_closing_ends_what_speaks_with_an_error(start: Start, longer: str) -> None:
    engine = await start(ahead_s=0.1)
    stream = engine.synthesize(SpeechRequest(longer, "zh"))
    await anext(stream)
    await engine.close()
    with pytest.raises(Unavailable):
        async for _ in stream:
            pass
    with pytest.raises(Unavailable):
        await engine.check()


async def test_a_damaged_bundle_is_told_at_the_start(oracle: Oracle, bundle: Bundle, tmp_path: Path) -> None:
    home = make_home(tmp_path / "data", bundle, oracle, "narrator")
    link = home / "models" / "indextts2"
    link.unlink()
    link.mkdir()
    for file in bundle.folder.rglob("*"):
        if file.is_file():
            place = link / file.relative_to(bundle.folder)
            place.parent.mkdir(exist_ok=True)
            os.link(file, place)
    (link / "estimator.onnx").unlink()
    (link / "estimator.onnx").write_bytes(bytes((bundle.folder / "estimator.onnx").stat().st_size))
    engine = make_engine(home)
    with pytest.raises(Unavailable, match="estimator"):
        await engine.start()
    await engine.close()


async def test_too_little_memory_is_told_at_the_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.indextts.memory.free_bytes", lambda: 1 << 20)
    engine = make_engine(home)
    with pytest.raises(Unavailable, match="MB are free"):
        await engine.start()
    await engine.close()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"language": "ja"}, Unsupported),
        ({"markup": "ssml"}, Unsupported),
        ({"speed": 5.0}, InvalidRequest),
        ({"speed": float("nan")}, InvalidRequest),
        ({"text": "…"}, InvalidRequest),
    ],
)
async def test_what_cannot_be_spoken_is_said_and_hurts_nobody(
    start: Start, text: str, changes: dict[str, Any], error: type[SpeechError]
) -> None:
    engine = await start()
    wanted = {"language": "zh", "text": text, **changes}
    with pytest.raises(error):
        await say(engine, wanted.pop("text"), wanted.pop("language"), **wanted)
    assert pcm(await say(engine, text))
