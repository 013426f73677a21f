"""`voxgate keys`: what they print, what they write, what they refuse, and several of them at once."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import CliRunner, Result

from gateway import cli
from gateway.cli import init
from gateway.configuration.load import shipped_directory
from tests.packaging.processes import VOXGATE, surroundings, voxgate


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A configuration of one's own, without keys."""
    made = tmp_path / "own"
    made.mkdir()
    for name in ("gateway", "engines", "voices", "policies"):
        (made / f"{name}.yaml").write_bytes((shipped_directory() / f"{name}.yaml").read_bytes())
    return made


def keys(directory: Path, *args: str) -> Result:
    return CliRunner().invoke(cli.voxgate, ["keys", *args, "--config", str(directory)])


def made(directory: Path, *args: str) -> str:
    """The key that `add` prints."""
    done = keys(directory, "add", *args)
    assert done.exit_code == 0, done.stderr
    return done.stdout.removesuffix("\n")


def listed(directory: Path) -> dict[str, dict[str, object]]:
    done = keys(directory, "list", "--json")
    assert done.exit_code == 0, done.stderr
    return {one.pop("name"): one for one in json.loads(done.stdout)}


def refused(directory: Path, *args: str) -> str:
    """The last line on stderr of a command that fails, and changes nothing."""
    file = directory / "keys.yaml"
    before = file.read_bytes() if file.exists() else None
    done = keys(directory, *args)
    assert done.exit_code != 0
    assert done.stdout == ""
    assert (file.read_bytes() if file.exists() else None) == before
    return done.stderr.splitlines()[-1]


def test_add_prints_the_key_alone_and_keeps_its_hash_alone(directory: Path) -> None:
    done = voxgate("keys", "add", "app", "--config", str(directory), home=directory.parent)
    assert done.returncode == 0, done.stderr
    (key,) = done.stdout.decode().splitlines()
    assert key.startswith("vg_")
    assert key not in done.stderr.decode()
    text = (directory / "keys.yaml").read_text()
    assert key not in text
    assert hashlib.sha256(key.encode()).hexdigest() in text


def test_the_file_is_for_its_owner_alone_or_as_the_operator_made_it(directory: Path) -> None:
    made(directory, "app")
    file = directory / "keys.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    made(directory, "other")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(one.name for one in directory.iterdir() if "keys" in one.name) == ["keys.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_file_stays_its_reader_s(directory: Path) -> None:
    made(directory, "app")
    os.chown(directory / "keys.yaml", 10001, 10002)
    made(directory, "other")
    now = (directory / "keys.yaml").stat()
    assert (now.st_uid, now.st_gid) == (10001, 10002)


def test_what_people_wrote_stays(directory: Path) -> None:
    made(directory, "app", "--in-flight", "2")
    file = directory / "keys.yaml"
    text = (
        file.read_text()
        .replace("  app:", "  # of the kiosk in hall 3\n  app:")
        .replace("{in_flight: 2}", "{in_flight: 3}")
    )
    file.write_text(text + "    # the end\n")
    made(directory, "other")
    keys(directory, "revoke", "app")
    assert "  # of the kiosk in hall 3\n  app:" in file.read_text()
    assert "# the end" in file.read_text()
    assert listed(directory)["app"]["limits"]["in_flight"] == 3  # type: ignore[index]


def test_flags_become_limits_lists_and_a_date(directory: Path) -> None:
    flags = ["--requests-per-minute=20", "--characters-per-minute=900", "--audio-seconds-per-day=60", "--in-flight=0"]
    made(directory, "app", *flags, "--voices", "alloy, espeak:en-us", "--voices", "narrator", "--engines", "espeak",
         "--tags", "web", "--expires", "2999-01-31", "--admin")  # fmt: skip
    app = listed(directory)["app"]
    assert app["limits"] == {
        "requests_per_minute": 20,
        "characters_per_minute": 900,
        "audio_seconds_per_day": 60,
        "in_flight": 0,
    }
    assert (app["voices"], app["engines"]) == (["alloy", "espeak:en-us", "narrator"], ["espeak"])
    assert (app["tags"], app["expires"], app["admin"]) == (["web"], "2999-01-31T00:00:00Z", True)
    assert (app["state"], app["revoked"]) == ("active", None)


@pytest.mark.parametrize(("given", "days"), [("48h", 2), ("30d", 30), ("2w", 14)])
def test_a_key_may_expire_some_time_from_now(directory: Path, given: str, days: int) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    made(directory, "app", "--expires", given)
    expires = datetime.fromisoformat(str(listed(directory)["app"]["expires"]))
    assert before <= expires - timedelta(days=days) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["add", "app"], "there is a key 'app' already"),
        (["add", "a b"], "'a b' is no name for a key"),
        (["add", "new", "--voices", "narator"], "voice 'narator' is not in voices.yaml; did you mean narrator"),
        (["add", "new", "--voices", "espek:en"], "voice 'espek:en' is not in voices.yaml"),
        (["add", "new", "--engines", "espek"], "engine 'espek' is not in engines.yaml; did you mean espeak?"),
        (["add", "new", "--expires", "soon"], "'soon' must be a date such as 2027-01-31"),
        (["add", "new", "--expires", "2020-01-01"], "'2020-01-01' has passed already"),
        (["add", "new", "--expires", "9999999w"], "further away than any date"),
        (["add", "new", "--requests-per-minute", "-1"], "-1"),
        (["revoke", "ap"], "there is no key 'ap'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(directory: Path, args: list[str], message: str) -> None:
    made(directory, "app")
    assert message in refused(directory, *args)


def test_a_revoked_key_is_listed_as_that_and_its_name_can_be_used_again(directory: Path) -> None:
    first = made(directory, "app")
    assert keys(directory, "revoke", "app").exit_code == 0
    assert listed(directory)["app"]["state"] == "revoked"
    assert "was revoked on" in refused(directory, "revoke", "app")
    second = made(directory, "app")
    assert second != first
    app = listed(directory)["app"]
    assert (app["state"], app["revoked"]) == ("active", None)
    assert hashlib.sha256(first.encode()).hexdigest() not in (directory / "keys.yaml").read_text()


def test_the_list_shows_states_and_never_a_hash(directory: Path) -> None:
    assert "no keys" in keys(directory, "list").stdout
    made(directory, "app", "--requests-per-minute", "20", "--voices", "narrator")
    made(directory, "chief", "--admin")
    made(directory, "gone")
    keys(directory, "revoke", "gone")
    file = directory / "keys.yaml"
    file.write_text(file.read_text() + f"  old: {{sha256: {'a1' * 32}, expires: 2020-01-01}}\n")
    lines = [line.split() for line in keys(directory, "list").stdout.splitlines()]
    assert [(line[0], line[1], line[2]) for line in lines[1:]] == [
        ("app", "active", "-"),
        ("chief", "active", "admin"),
        ("gone", "revoked", "-"),
        ("old", "expired", "-"),
    ]
    assert "requests_per_minute 20, voices narrator" in " ".join(lines[1])
    assert "a1" * 32 not in keys(directory, "list").stdout + keys(directory, "list", "--json").stdout


def test_many_at_once_lose_nothing(directory: Path) -> None:
    # started together; each waits for the one before it
    names = [f"app{number}" for number in range(6)]
    environment = surroundings(directory.parent)
    command = [*VOXGATE, "keys", "add", "--config", str(directory)]
    running = [
        subprocess.Popen([*command, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for name in names
    ]
    made = [process.communicate(timeout=40)[0].decode().strip() for process in running]
    assert [process.returncode for process in running] == [0] * len(names)
    text = (directory / "keys.yaml").read_text()
    assert sorted(listed(directory)) == names
    assert all(hashlib.sha256(key.encode()).hexdigest() in text for key in made)


def test_a_wrong_file_is_told_with_places_and_left_alone(directory: Path) -> None:
    (directory / "keys.yaml").write_text("version: 1\nkeys:\n  app: {sha: 1}\n")
    for args in (["add", "other"], ["revoke", "app"], ["list"]):
        assert "keys.yaml:3:" in refused(directory, *args)


def test_a_damaged_file_is_not_written_over(directory: Path) -> None:
    (directory / "keys.yaml").write_bytes(b"version: 1\n# caf\xe9\n")
    assert "keys.yaml:2:6: byte 0xe9 is not UTF-8" in refused(directory, "add", "app")


def test_a_name_may_look_like_something_else(directory: Path) -> None:
    for name in ("123", "true", "null", "2027-01-01", "旁白"):
        made(directory, name)
    assert list(listed(directory)) == ["123", "true", "null", "2027-01-01", "旁白"]


def test_a_key_can_be_revoked_while_another_file_is_wrong(directory: Path) -> None:
    made(directory, "app")
    (directory / "policies.yaml").write_text("nonsense")
    assert keys(directory, "revoke", "app").exit_code == 0
    assert listed(directory)["app"]["state"] == "revoked"


def test_a_link_stays_one(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (directory / "keys.yaml").symlink_to(tmp_path / "elsewhere" / "keys.yaml")
    made(directory, "app")
    assert (directory / "keys.yaml").is_symlink()
    assert "app" in (tmp_path / "elsewhere" / "keys.yaml").read_text()


def test_the_shipped_configuration_keeps_no_keys(tmp_path: Path) -> None:
    done = voxgate("keys", "add", "app", "--config", str(shipped_directory()), home=tmp_path)
    assert done.returncode == 1
    assert done.stdout == b""
    assert b"`voxgate init DIR`" in done.stderr
    assert not (shipped_directory() / "keys.yaml").exists()
    nowhere = voxgate("keys", "add", "app", "--config", "nowhere", home=tmp_path)
    assert b"`voxgate init nowhere`" in nowhere.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="the test becomes somebody else, as only root can")
def test_where_nothing_can_be_written_one_line_says_what_to_do() -> None:
    with TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        assert CliRunner().invoke(cli.voxgate, ["keys", "list", "--config", directory]).exit_code == 0
        os.seteuid(65534)
        try:
            done = CliRunner().invoke(cli.voxgate, ["keys", "add", "app", "--config", directory])
        finally:
            os.seteuid(0)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "Permission denied" in line
    assert "voxgate init DIR" in line


def test_init_copies_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    for name in ("gateway.yaml", "keys.yaml"):
        (shipped / name).write_text("version: 1\n")
    monkeypatch.setattr(init, "shipped_directory", lambda: shipped)
    assert CliRunner().invoke(init.command, [str(tmp_path / "own")]).exit_code == 0
    assert [one.name for one in (tmp_path / "own").iterdir()] == ["gateway.yaml"]
