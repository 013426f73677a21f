"""What a request says of its emotion, and the vector that becomes of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.contract import Emotion
from engines.errors import InvalidRequest
from engines.indextts.emotion import NAMES, blend, mix, weigh
from engines.indextts.reference import nearest_rows
from engines.indextts.sizes import Sizes
from engines.indextts.tables import Tables
from engines.indextts.voice import VoiceBundle
from models.bundle import Bundle
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.voices import a_voice


@pytest.fixture(scope="module")
def golden_voice(bundle: Bundle, oracle: Oracle) -> VoiceBundle:
    """Of the golden arrays, so that mixing alone is compared."""
    golden, tables = oracle.golden("voice"), Tables.read(bundle.folder)
    rows = nearest_rows(golden["style"][0], tables.emotion_speakers, Sizes.of_json(bundle.sizes).emotion_rows)
    return replace(
        a_voice(),
        base_emotion=golden["base_emovec"][0],
        own_emotion=golden["emovec"][0],
        emotion=golden["emovec"][0],
        emotion_rows=tables.emotion_vectors[rows],
    )


def test_an_emotion_vector_is_mixed_as_officially(golden_voice: VoiceBundle, oracle: Oracle) -> None:
    golden = oracle.golden("voice")
    vector = tuple(float(one) for one in golden["emo_weight_vector"])
    np.testing.assert_allclose(blend(golden_voice, Emotion(vector=vector)), golden["emovec_mixed"][0], atol=1e-5)


def test_without_emotion_a_voice_has_its_own(golden_voice: VoiceBundle, oracle: Oracle) -> None:
    np.testing.assert_array_equal(blend(golden_voice, None), oracle.golden("voice")["emovec"][0])


def test_alpha_scales_a_vector() -> None:
    voice, vector = a_voice(), (0.4, 0, 0, 0.2, 0, 0, 0, 0)
    halved = tuple(one / 2 for one in vector)
    np.testing.assert_allclose(
        blend(voice, Emotion(vector=vector, alpha=0.5)), blend(voice, Emotion(vector=halved)), atol=1e-6
    )
    np.testing.assert_allclose(blend(voice, Emotion(vector=vector, alpha=0)), voice.own_emotion, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_alpha_is_how_far_a_borrowed_emotion_is_gone_towards(alpha: float) -> None:
    voice, other = a_voice(1), a_voice(2)
    expected = (1 - alpha) * voice.base_emotion + alpha * other.emotion
    np.testing.assert_allclose(blend(voice, Emotion(voice="other", alpha=alpha), other), expected, atol=1e-6)


def test_a_name_is_its_weight_in_the_vector() -> None:
    assert weigh({"sad": 0.5}) == (0, 0, 0.5, 0, 0, 0, 0, 0)
    voice = a_voice()
    np.testing.assert_array_equal(
        blend(voice, Emotion(weights=(("sad", 0.5),))), mix(voice, (0, 0, 0.5, 0, 0, 0, 0, 0))
    )


@pytest.mark.parametrize(("other", "name"), [("fear", "afraid"), ("neutral", "calm")])
def test_other_names_mean_the_same(other: str, name: str) -> None:
    assert weigh({other: 0.4}) == weigh({name: 0.4})
    assert weigh({other: 0.4, name: 0.2}) == weigh({name: 0.4}), "the stronger one counts"
    assert weigh({name: 0.4, other: 0.2}) == weigh({name: 0.4})


@given(st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)))
def test_all_names_together_count_for_at_most_0_8(weights: dict[str, float]) -> None:
    vector = weigh(weights)
    assert sum(vector) <= 0.8 + 1e-9
    for name, weight in zip(NAMES, vector, strict=True):
        assert 0 <= weight <= weights.get(name, 0.0)


@pytest.mark.parametrize(
    ("given_name", "near"), [("hapy", "happy"), ("suprised", "surprised"), ("xyzzy", "melancholic")]
)
def test_an_unknown_name_is_told_with_near_ones(given_name: str, near: str) -> None:
    with pytest.raises(InvalidRequest, match=near) as caught:
        blend(a_voice(), Emotion(weights=((given_name, 1.0),)))
    assert caught.value.param == "emotion"


@pytest.mark.parametrize("vector", [(0.1,) * 7, (0.1,) * 9, (math.nan,) + (0.0,) * 7, (-0.1,) + (0.0,) * 7, (2.0,) * 8])
def test_a_vector_of_other_numbers_is_refused(vector: tuple[float, ...]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        mix(a_voice(), vector)
    assert caught.value.param == "emotion.vector"
