"""`voxgate voices` with IndexTTS-2: a voice is made of a recording, listed, verified, replaced, removed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from engines.indextts.recipe import FORMAT
from engines.indextts.voice import VoiceBundle
from gateway import cli
from gateway.cli.bars import Bars
from gateway.configuration.load import shipped_directory
from models.bundle import Bundle
from tests.engines.indextts.oracle import Oracle
from tests.engines.indextts.voices import MODEL, a_voice

ENGINES = """
version: 1
engines:
  indextts: {kind: indextts}
  tone: {kind: tone}
"""
VOICES = """
version: 1
default: narrator
voices:
  narrator: {gender: female, languages: [zh, en], engines: {tone: high, indextts: alice}}
  announcer: {languages: [zh], engines: {tone: low}}
"""
POLICIES = "version: 1\nrules: [{name: all, use: [indextts, tone]}]\nlast_resort: tone\n"
CONSENT = "A tone generator's, which does not mind"


class Home:
    """A configuration and a data_dir of one's own, and the command that works on them."""

    def __init__(self, folder: Path) -> None:
        self.config, self.data = folder / "config", folder / "data"
        self.config.mkdir()
        for name, content in (("engines", ENGINES), ("voices", VOICES), ("policies", POLICIES)):
            (self.config / f"{name}.yaml").write_text(content)
        shipped = (shipped_directory() / "gateway.yaml").read_text()
        (self.config / "gateway.yaml").write_text(shipped)
        self.voices = self.data / "voices" / "indextts"

    def __call__(self, *args: object, code: int = 0) -> Result:
        env = {"VOXGATE_DATA": str(self.data)}
        command, *rest = map(str, args)
        done = CliRunner().invoke(cli.voxgate, ["voices", command, "--config", str(self.config), *rest], env=env)
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        return done

    def listed(self) -> dict[str, dict[str, object]]:
        return {one["name"]: one for one in json.loads(self("list", "--json").stdout)["cloned"]}

    def have_model(self, version: str = MODEL) -> None:
        """A bundle that says which it is, and nothing else."""
        folder = self.data / "models" / "indextts2"
        folder.mkdir(parents=True, exist_ok=True)
        said = {"name": "indextts2", "version": version, "licence": "none", "format": FORMAT, "files": []}
        (folder / "manifest.json").write_text(json.dumps(said))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def speaking(home: Home, bundle: Bundle) -> Home:
    """With the oracle's model."""
    folder = home.data / "models"
    folder.mkdir(parents=True)
    (folder / "indextts2").symlink_to(bundle.folder)
    return home


def test_a_voice_is_made_listed_verified_and_removed(speaking: Home, bundle: Bundle, oracle: Oracle) -> None:
    added = speaking("add", "alice", oracle.ref_wav, "--engine", "indextts", "--consent", CONSENT, "--licence", "CC0")
    assert added.stdout == ""
    assert "voices.yaml has it already, as narrator" in added.stderr
    voice = VoiceBundle.read(speaking.voices / "alice.safetensors", bundle.version)
    assert (voice.provenance.consent, voice.provenance.licence) == (CONSENT, "CC0")
    told = speaking.listed()["alice"]
    assert (told["state"], told["engines"], told["named"]) == ("ready", ["indextts"], ["narrator"])
    assert told["seconds"] == pytest.approx(soundfile.info(oracle.ref_wav).duration, abs=0.05)
    assert "ok     content" in speaking("verify", "alice").stdout
    removed = speaking("rm", "alice")
    assert "voices.yaml still names it, in narrator" in removed.stderr
    assert speaking.listed() == {}


def test_what_to_put_into_voices_yaml_is_printed_and_valid(speaking: Home, oracle: Oracle) -> None:
    snippet = speaking("add", "no", oracle.ref_wav, "--consent", CONSENT, "--gender", "male").stdout
    file = speaking.config / "voices.yaml"
    file.write_text(file.read_text() + snippet)
    entry = YAML(typ="safe").load(file)["voices"]["no"]
    assert entry == {"gender": "male", "languages": ["zh", "en"], "engines": {"indextts": "no"}}
    assert speaking.listed()["no"]["named"] == ["no"]


def test_a_voice_is_replaced_only_when_that_is_said(speaking: Home, oracle: Oracle) -> None:
    a_voice(name="announcer").write(speaking.voices)
    there = speaking.listed()
    again = speaking("add", "announcer", oracle.ref_wav, "--consent", CONSENT, code=1)
    assert "there is a voice 'announcer' already" in again.stderr
    assert speaking.listed() == there
    added = speaking("add", "announcer", oracle.ref_wav, "--consent", CONSENT, "--replace")
    assert speaking.listed()["announcer"]["consent"] == CONSENT
    # voices.yaml has an announcer, of another engine
    assert added.stdout == "      indextts: announcer\n"
    assert "under the `engines:` of announcer" in added.stderr


@pytest.mark.parametrize("there", [False, True])
def test_who_stops_it_is_told_that_nothing_was_kept(
    speaking: Home, oracle: Oracle, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        a_voice(name="announcer").write(speaking.voices)
    before = speaking.listed()

    def interrupted(bars: Bars, doing: str, done: int, whole: int) -> None:
        if doing == "style":
            raise KeyboardInterrupt

    monkeypatch.setattr(Bars, "__call__", interrupted)
    stopped = speaking("add", "announcer", oracle.ref_wav, "--consent", CONSENT, "--replace", code=1)
    assert "nothing was kept" in stopped.stderr
    assert "Aborted" not in stopped.stderr
    assert speaking.listed() == before
    assert [one.name for one in speaking.voices.glob("*")] == ["announcer.safetensors"] * there


def test_an_emotion_of_a_second_recording_is_kept_and_a_cut_is_said(
    speaking: Home, oracle: Oracle, tmp_path: Path
) -> None:
    samples, rate = soundfile.read(oracle.ref_wav)
    soundfile.write(tmp_path / "sad.wav", np.resize(samples[::-1], 16 * rate), rate)
    added = speaking("add", "bob", oracle.ref_wav, "--consent", CONSENT, "--emotion-audio", tmp_path / "sad.wav")
    assert "note: only the first 15 of 16.0 s of the recording for the emotion were listened to" in added.stderr
    voice = VoiceBundle.read(speaking.voices / "bob.safetensors")
    assert not np.allclose(voice.emotion, voice.own_emotion, atol=1e-3)


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", "-dash", "a:b", "x" * 65])
def test_a_name_is_a_safe_file_name(speaking: Home, oracle: Oracle, name: str) -> None:
    refused = speaking("add", "--consent", CONSENT, "--", name, oracle.ref_wav, code=1)
    assert "is no name for a voice" in refused.stderr
    assert not speaking.data.joinpath("voices").exists()


def test_consent_is_asked_for(speaking: Home, oracle: Oracle) -> None:
    refused = speaking("add", "bob", oracle.ref_wav, code=1)
    assert refused.stderr.splitlines() == ["Error: say --consent: whose voice it is, and with what permission"]
    blank = speaking("add", "bob", oracle.ref_wav, "--consent", " ", code=1)
    assert "needs its consent" in blank.stderr


def test_a_language_that_the_engine_lacks_is_refused(speaking: Home, oracle: Oracle) -> None:
    refused = speaking("add", "bob", oracle.ref_wav, "--consent", CONSENT, "--language", "fr", code=1)
    assert "speaks zh and en, not fr" in refused.stderr


def test_what_is_no_recording_is_one_line(speaking: Home, tmp_path: Path) -> None:
    (tmp_path / "ref.wav").write_text("no sound")
    refused = speaking("add", "bob", tmp_path / "ref.wav", "--consent", CONSENT, code=1)
    assert len(refused.stderr.splitlines()) == 1
    assert "no sound file that can be read" in refused.stderr
    assert not list(speaking.data.rglob("*.safetensors*"))


def test_without_its_model_no_voice_is_made(home: Home, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "ref.wav", np.ones(22050) / 2, 22050)
    refused = home("add", "bob", tmp_path / "ref.wav", "--consent", CONSENT, code=1)
    assert refused.stderr.splitlines() == ["voxgate: the model is not there: voxgate models pull indextts2"]


def test_verify_finds_a_flipped_byte(home: Home) -> None:
    home.have_model()
    path = a_voice(name="bob").write(home.voices)
    assert home("verify", "bob").stdout.count("ok") == 2
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    failed = home("verify", "bob", "--json", code=1)
    assert json.loads(failed.stdout)["checks"][0]["passed"] is False
    assert "is damaged" in failed.stdout
    assert home.listed()["bob"]["state"] == "ready"  # only reading it all finds that


def test_a_voice_of_another_model_is_listed_with_advice(home: Home) -> None:
    home.have_model("3")
    a_voice(name="bob").write(home.voices)
    done = home("list")
    assert "other model" in done.stdout
    assert "bob: made for model version 2.0-test, this is 3" in done.stderr
    assert "voxgate voices add bob REF.wav --replace" in done.stderr
    assert "FAILED model" in home("verify", "bob", code=1).stdout


def test_voices_whose_model_is_gone_are_listed(home: Home) -> None:
    a_voice(name="bob").write(home.voices)
    assert home.listed()["bob"]["state"] == "no_model"
    assert "voxgate models pull indextts2" in home("list").stderr


def test_a_damaged_voice_is_listed_and_can_be_removed(home: Home) -> None:
    home.have_model()
    home.voices.mkdir(parents=True)
    (home.voices / "bob.safetensors").write_bytes(b"\0" * 100)
    assert home.listed()["bob"]["state"] == "damaged"
    assert "bob" in home("list").stdout
    home("rm", "bob")
    assert home.listed() == {}


def test_the_voices_of_voices_yaml_are_listed_with_who_speaks_them(home: Home) -> None:
    lines = home("list").stdout.splitlines()
    assert lines[0].split() == ["VOICE", "GENDER", "LANGUAGES", "SPOKEN", "BY"]
    assert lines[1].split("  ")[-1].strip() == "tone (high), indextts (alice)"
    told = json.loads(home("list", "--json").stdout)["voices"]
    assert [(one["name"], one["default"]) for one in told] == [("narrator", True), ("announcer", False)]


@pytest.mark.parametrize("command", ["verify", "rm"])
def test_a_name_that_is_none_is_told_with_near_ones(home: Home, command: str) -> None:
    a_voice(name="alice").write(home.voices)
    refused = home(command, "alise", code=1)
    assert "there is no voice 'alise'" in refused.stderr
    assert "near names: alice" in refused.stderr


@pytest.mark.parametrize(("engine", "said"), [("tone", "has voices of its own"), ("index", "near names: indextts")])
def test_an_engine_that_makes_no_voices(home: Home, engine: str, said: str) -> None:
    assert said in home("rm", "alice", "--engine", engine, code=1).stderr


def test_listing_loads_nothing_that_computes(home: Home) -> None:
    home.have_model()
    a_voice(name="bob").write(home.voices)
    program = (
        "import sys; from gateway.cli import voxgate; voxgate(sys.argv[1:], standalone_mode=False);"
        "print([one for one in ('numpy', 'onnxruntime', 'transformers', 'soundfile') if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "voices", "list", "--config", str(home.config)],
        env={"VOXGATE_DATA": str(home.data), "PATH": ""},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bob" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
