"""`init`, `check` and `explain`: what they print, where, and their exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import voxgate
from gateway.cli.options import read_config
from gateway.cli.serve import tell

REPOSITORY = Path(__file__).parents[3]


def run(*arguments: str, **more: object) -> Result:
    return CliRunner().invoke(voxgate, list(arguments), **more)  # type: ignore[arg-type]


def run_alone(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, as a shell starts it."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "PYTHONPATH": str(REPOSITORY), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The shipped configuration, copied out."""
    place = tmp_path / "mine"
    assert run("init", str(place)).exit_code == 0
    return place


# --- init ---


def test_init_writes_a_configuration_that_is_well(directory: Path) -> None:
    assert {one.name for one in directory.iterdir()} >= {"gateway.yaml", "engines.yaml", "voices.yaml", "policies.yaml"}
    assert (directory / "schema" / "engines.json").is_file()
    checked = run("check", "--config", str(directory))
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout == "configuration OK: 6 engines, 2 voices, 3 rules\n"


def test_init_overwrites_nothing_unless_forced(directory: Path) -> None:
    (directory / "voices.yaml").write_text("mine")
    refused = run("init", str(directory))
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "would be overwritten" in refused.stderr
    assert (directory / "voices.yaml").read_text() == "mine"
    assert run("init", "--force", str(directory)).exit_code == 0
    assert (directory / "voices.yaml").read_text() != "mine"


def test_init_puts_in_the_missing_file_as_check_says_and_leaves_the_others(directory: Path) -> None:
    (directory / "engines.yaml").write_text("mine")
    (directory / "voices.yaml").unlink()
    advice = f"`voxgate init --missing {directory}`"
    assert advice in run("check", "--config", str(directory)).stderr
    assert run(*advice.strip("`").split()[1:]).stdout.startswith("wrote 1 files to ")
    assert (directory / "voices.yaml").read_text().startswith("# yaml-language-server")
    assert (directory / "engines.yaml").read_text() == "mine"


def test_init_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text("mine")
    assert run("init", str(tmp_path)).exit_code == 0
    assert (tmp_path / "keys.yaml").read_text() == "mine"


def test_init_where_nothing_can_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = run("init", str(tmp_path / "file" / "below"))
    assert refused.exit_code == 1
    assert refused.stderr.count("\n") == 1
    assert "cannot be written" in refused.stderr


# --- check ---


def test_check_prints_every_error_on_a_line_of_its_own(directory: Path) -> None:
    (directory / "gateway.yaml").write_text("version: 1\nauth: open\n")
    (directory / "policies.yaml").write_text("version: 1\nlast_resort: espeak\nrules:\n  - {name: a, use: [nobody]}\n")
    checked = run("check", "--config", str(directory))
    assert checked.exit_code == 1
    assert checked.stdout == ""
    gateway, policies = checked.stderr.splitlines()
    assert gateway == f"{directory}/gateway.yaml:2:7 auth: must be auto, keys or none, not 'open'"
    assert policies.startswith(f"{directory}/policies.yaml:4:21 rules[0].use[0]: unknown engine 'nobody'")


def test_check_tells_warnings_and_succeeds(directory: Path) -> None:
    (directory / "policies.yaml").write_text("version: 1\nrules:\n  - {name: a, use: [espeak]}\n")
    checked = run("check", "--config", str(directory))
    assert checked.exit_code == 0
    assert "warning: there is no last resort" in checked.stderr
    assert checked.stdout.startswith("configuration OK")


def test_check_knows_the_voices_of_a_cloud_that_has_no_key(directory: Path) -> None:
    voices = directory / "voices.yaml"
    text = voices.read_text()
    voices.write_text(text.replace("zh: sambert-zhiqi-v1", "zh: sambert-zhiyan-v1"))
    checked = run("check", "--config", str(directory))
    assert (checked.exit_code, checked.stderr.count("\n")) == (1, 1)
    assert "voices.narrator.engines.sambert.zh: engine 'sambert' has no voice 'sambert-zhiyan-v1'" in checked.stderr
    assert "did you mean sambert-zhi" in checked.stderr


def test_check_tells_a_program_the_same(directory: Path) -> None:
    well = run("check", "--json", "--config", str(directory))
    assert json.loads(well.stdout) == {
        "ok": True,
        "directory": str(directory),
        "engines": 6,
        "voices": 2,
        "rules": 3,
        "problems": [],
    }
    (directory / "gateway.yaml").write_text("version: 1\nauth: open\n")
    wrong = run("check", "--json", "--config", str(directory))
    told = json.loads(wrong.stdout)
    assert (wrong.exit_code, told["ok"]) == (1, False)
    (problem,) = told["problems"]
    assert (problem["line"], problem["column"], problem["path"], problem["severity"]) == (2, 7, "auth", "error")


def test_check_takes_the_environment_s_directory_and_overrides(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXGATE_CONFIG", str(directory))
    monkeypatch.setenv("VOXGATE_LISTEN__PROT", "1")
    checked = run("check")
    assert checked.exit_code == 1
    assert checked.stderr.startswith("VOXGATE_LISTEN__PROT:1:1 listen.prot: no such field")


def test_check_of_a_directory_that_is_not_there_names_init(tmp_path: Path) -> None:
    checked = run("check", "--config", str(tmp_path / "nowhere"))
    assert checked.exit_code == 1
    assert "voxgate init" in checked.stderr


@pytest.mark.parametrize("place", ["gateway.yaml", "environment"])
def test_check_and_serve_say_what_traces_need_that_is_not_installed(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    else:
        with (directory / "gateway.yaml").open("a") as file:
            file.write("tracing: {otlp_endpoint: 'http://localhost:4318'}\n")
    assert run("check", "--config", str(directory)).stderr == ""
    monkeypatch.setattr("gateway.telemetry.tracing.is_installed", lambda: False)
    checked = run("check", "--config", str(directory))
    assert checked.exit_code == 0
    assert "`scripts/install otel`" in checked.stderr
    tell(read_config(directory))
    assert "`scripts/install otel`" in capsys.readouterr().err


# --- explain ---


def test_explain_gives_the_plan_to_a_program(directory: Path) -> None:
    told = run("explain", "Hello. 你好。", "--json", "--config", str(directory))
    assert told.exit_code == 0, told.output
    plan = json.loads(told.stdout)
    assert set(plan) == {"rule", "model", "voice", "chars", "clauses", "steps", "skipped"}
    assert (plan["rule"], plan["voice"], plan["chars"]) == ("everything", "narrator", 10)
    assert plan["clauses"] == [{"text": "Hello.", "language": "en"}, {"text": "你好。", "language": "zh"}]
    assert [step["engine"] for step in plan["steps"]] == ["espeak"]


def test_explain_tells_people_the_same(directory: Path) -> None:
    told = run("explain", "-", "--voice", "onyx", "--config", str(directory), input="你好。")
    assert told.exit_code == 0, told.output
    assert "narrator" in told.stdout
    assert "cmn-latn-pinyin+f3" in told.stdout


def test_explain_plans_for_a_key_by_its_name(directory: Path) -> None:
    policies = "rules:\n  - {name: of the kiosk, when: {tags: [hall]}, use: [espeak]}\n  - {name: all, use: [tone]}\n"
    (directory / "policies.yaml").write_text(f"version: 1\n{policies}last_resort: espeak\n")
    (directory / "engines.yaml").write_text("version: 1\nengines: {espeak: {kind: espeak}, tone: {kind: tone}}\n")
    keys = {
        "kiosk": ("a1", "tags: [hall], voices: [narrator]"),
        "no_tone": ("b2", "engines: [espeak]"),
        "old": ("c3", "expires: 2020-01-31"),
    }
    lines = [f"  {name}: {{sha256: {digest * 32}, {may}}}\n" for name, (digest, may) in keys.items()]
    (directory / "keys.yaml").write_text(f"version: 1\nkeys:\n{''.join(lines)}")

    def explain(key: str, *more: str) -> Result:
        return run("explain", "Hello.", "--json", "--key", key, "--config", str(directory), *more)

    assert json.loads(explain("kiosk").stdout)["rule"] == "of the kiosk"
    plan = json.loads(explain("no_tone").stdout)
    assert [(one["engine"], one["code"]) for one in plan["skipped"]] == [("tone", "excluded")]
    refused = explain("kiosk", "--voice", "announcer")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "it may use: narrator" in refused.stderr
    unknown = explain("kiosks")
    assert json.loads(unknown.stdout)["rule"] == "all"
    assert "there is no key 'kiosks'" in unknown.stderr
    assert "did you mean kiosk?" in unknown.stderr
    expired = explain("old")
    assert json.loads(expired.stdout)["rule"] == "all"
    assert "the key 'old' is expired" in expired.stderr


@pytest.mark.parametrize(
    ("deadline", "speaks"),
    [((), "indextts"), (("--deadline-ms", "90000"), "indextts"), (("--deadline-ms", "20000"), "espeak")],
)
def test_explain_leaves_a_long_text_that_cannot_wait_to_a_quicker_engine(
    directory: Path, tmp_path: Path, deadline: tuple[str, ...], speaks: str
) -> None:
    board = tmp_path / "board.json"
    states = {"indextts": {"first_audio_s": 6.0, "real_time_factor": 3.0}, "sambert": {"state": "not_configured"}}
    board.write_text(json.dumps({"engines": states}))
    text = "你好，今天天气很好。" * 10
    told = run("explain", text, "--json", "--board", str(board), "--config", str(directory), *deadline)
    assert json.loads(told.stdout)["steps"][0]["engine"] == speaks


def test_say_tells_what_the_engines_lack(directory: Path, tmp_path: Path) -> None:
    (directory / "engines.yaml").write_text("version: 1\nengines:\n  a: {kind: sambert, api_key_env: NOBODY_SET_IT}\n")
    (directory / "voices.yaml").write_text("version: 1\ndefault: v\nvoices:\n  v: {engines: {a: sambert-zhiqi-v1}}\n")
    (directory / "policies.yaml").write_text("version: 1\nrules:\n  - {name: all, use: [a]}\n")
    told = run_alone("say", "你好", "-o", "x.wav", "--config", str(directory), cwd=tmp_path)
    assert told.returncode == 1
    assert "a: not configured (a: no API key of Alibaba Cloud Model Studio: NOBODY_SET_IT is not set)" in told.stderr


def test_explain_answers_for_an_imagined_board(directory: Path, tmp_path: Path) -> None:
    board = tmp_path / "board.json"
    states = {"indextts": "not_installed", "sambert": "not_configured", "espeak": "down"}
    board.write_text(json.dumps({"engines": {name: {"state": state} for name, state in states.items()}}))
    told = run("explain", "Hi", "--json", "--board", str(board), "--config", str(directory))
    assert told.exit_code == 1
    plan = json.loads(told.stdout)
    assert plan["steps"] == []
    assert [(skip["engine"], skip["code"]) for skip in plan["skipped"]] == [
        ("indextts", "not_installed"),
        ("sambert", "not_configured"),
        ("espeak", "down"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"engines": }', ":1:13: not JSON"),
        ('{\n  "engines": {"espaek": {}}\n}', ":2:25 engines.espaek: 'espaek' is not enabled in engines.yaml"),
        ('{"engines": {"espeak": {"busy": -1}}}', ":1:33 engines.espeak.busy: must be at least 0"),
        ('{"now": "2026-01-01T00:00:00"}', ":1:9 now: '2026-01-01T00:00:00' has no time zone"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_wrong_board_is_told_with_its_place(directory: Path, tmp_path: Path, text: str, line: str) -> None:
    board = tmp_path / "board.json"
    board.write_text(text)
    told = run("explain", "Hi", "--board", str(board), "--config", str(directory))
    assert told.exit_code == 1
    assert told.stderr.count("\n") == 1
    assert line in told.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "fragment"),
    [
        (["Hi", "--voice", "narator"], 1, "unknown voice 'narator'; near names: narrator"),
        (["Hi", "--model", "tts-2"], 1, "tts-1"),
        (["  "], 1, "voxgate: "),
        (["Hi", "--board", "nowhere.json"], 1, "nowhere.json: No such file"),
        (["Hi", "--config", "nowhere"], 1, "no such directory"),
        (["Hi", "--format", "mp4"], 2, "mp4"),
        (["Hi", "--speed", "9"], 2, "9"),
        ([], 2, "TEXT"),
    ],
)
def test_what_cannot_be_explained_is_said_without_a_traceback(
    arguments: list[str], status: int, fragment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = run("explain", *arguments)
    assert told.exit_code == status
    assert fragment in told.stderr
    assert isinstance(told.exception, SystemExit)
    assert status == 2 or told.stderr.count("\n") == 1


def test_text_that_is_not_utf_8_is_refused(directory: Path) -> None:
    told = run("explain", "-", "--config", str(directory), input=b"\xff\xfe")
    assert (told.exit_code, told.stderr) == (1, "voxgate: the text is not UTF-8\n")


# --- as a shell starts it ---


def test_the_commands_work_from_any_directory_without_a_configuration(tmp_path: Path) -> None:
    checked = run_alone("check", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
    explained = run_alone("explain", "你好。", "--json", cwd=tmp_path)
    assert explained.returncode == 0, explained.stderr
    assert json.loads(explained.stdout)["steps"][0]["voice"] == "cmn-latn-pinyin+f3"


def test_a_wrong_configuration_is_a_line_and_a_status(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text("version: 1\nauth: ${NOT_SET}\n")
    checked = run_alone("check", cwd=tmp_path)
    assert checked.returncode == 1
    assert checked.stderr.splitlines()[0].startswith(
        "config/gateway.yaml:2:7 auth: environment variable NOT_SET is not set"
    )
    assert len(checked.stderr.splitlines()) == 4  # and three files that are missing


def test_help_lists_the_commands_and_loads_none(tmp_path: Path) -> None:
    told = run_alone("--help", cwd=tmp_path)
    assert told.returncode == 0
    assert "explain" in told.stdout
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, gateway.cli; print([m for m in sys.modules if m.startswith('gateway.')])"],
        env={"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "gateway.pipeline" not in loaded.stdout


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    told = run_alone("chekc", cwd=tmp_path)
    assert told.returncode == 2
    assert "chekc" in told.stderr
