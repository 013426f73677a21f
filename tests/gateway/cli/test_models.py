"""`voxgate models`: fetched from a stand-in for the hubs, exported by a plugin's recipe, listed, verified, removed."""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import gateway.cli.models
import gateway.cli.recipes
from gateway import cli
from models.store import Store
from tests.gateway.cli import toy
from tests.models.stand_in import Fault, StandIn, stand_in
from tests.packaging.processes import DEADLINE_S, ROOT, VOXGATE, surroundings

NET = random.Random(2).randbytes(400_000)

Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[StandIn]:
    with stand_in() as server:
        server.repositories |= {
            "toys/toy": {"net.bin": NET, "config.json": b"{}", "readme.md": b"no"},
            "toys/aux": {"voice.bin": b"voice"},
        }
        yield server


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugin")
    info = folder / "voxgate_toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voxgate-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voxgate.engines]\ntoy = tests.gateway.cli.toy\n")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def store(home: Path) -> Store:
    return Store(home / "data" / "models")


@pytest.fixture
def run(plugin: Path, home: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A command of `voxgate models`, in this process; nothing is waited for between tries."""
    monkeypatch.syspath_prepend(plugin)
    monkeypatch.setattr(gateway.cli.models.time, "sleep", lambda _: None)
    for name, value in server.environ(VOXGATE_DATA=str(home / "data")).items():
        monkeypatch.setenv(name, value)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN", "VOXGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*args: str) -> Result:
        before = signal.getsignal(signal.SIGTERM)
        try:
            return CliRunner().invoke(cli.voxgate, ["models", *args])
        finally:
            signal.signal(signal.SIGTERM, before)

    return run


def start(*args: str, plugin: Path, home: Path, server: StandIn) -> subprocess.Popen[bytes]:
    """The same as a process of its own."""
    path = os.pathsep.join([str(plugin), str(ROOT)])
    environment = surroundings(home, **server.environ(PYTHONPATH=path))
    command = [*VOXGATE, "models", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, env=environment)


def refused(done: Result) -> str:
    """The one line that a command ends with that did not do what it was asked."""
    assert done.exit_code == 1, done.output
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "Traceback" not in done.stderr
    return last.removeprefix("Error: ")


def listed(run: Run) -> dict[str, dict[str, object]]:
    done = run("list", "--json")
    assert done.exit_code == 0, done.stderr
    return {one.pop("name"): one for one in json.loads(done.stdout)["models"]}


# --- pull ---


def test_a_model_is_fetched_and_its_bundle_made(run: Run, server: StandIn, store: Store) -> None:
    assert listed(run)["toy"]["state"] == "no bundle"
    done = run("pull", "toy", "--accept-licence")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"toy 1-plain (Toy Licence): 400 kB in {store.bundle('toy')}\n"
    assert (store.bundle("toy") / "net.onnx").read_bytes() == NET
    assert {one.file for one in server.asked if one.file} == {"net.bin", "config.json", "voice.bin"}
    toy = listed(run)["toy"]
    assert (toy["state"], toy["version"], toy["engine"], toy["download_bytes"]) == ("whole", "1-plain", "toy", 0)


def test_the_licence_is_shown_and_must_be_agreed_to(run: Run, server: StandIn) -> None:
    done = run("pull", "toy")
    assert "--accept-licence" in refused(done)
    assert "Toy Licence, https://toy.example/licence" in done.stderr
    assert "licence of toys/aux: CC0-1.0" in done.stderr
    assert server.asked == []


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 1)])
def test_on_a_terminal_one_is_asked_and_sees_how_far_it_is(
    plugin: Path, home: Path, server: StandIn, store: Store, answer: bytes, status: int
) -> None:
    keyboard, terminal = os.openpty()
    path = os.pathsep.join([str(plugin), str(ROOT)])
    environment = surroundings(home, **server.environ(PYTHONPATH=path, TERM="xterm"))
    command = [*VOXGATE, "models", "pull", "toy"]
    with subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, cwd=home, env=environment
    ) as process:
        os.close(terminal)
        os.write(keyboard, answer)
        shown = b""
        with suppress(OSError):  # so a terminal ends on Linux
            while piece := os.read(keyboard, 4096):
                shown += piece
    os.close(keyboard)
    assert process.returncode == status, shown
    assert b"Toy Licence, https://toy.example/licence" in shown
    assert b"Do you agree? [y/N]" in shown
    assert (b"net.bin" in shown) == (b"400 kB of 400 kB" in shown) == (b"100%" in shown) == (status == 0)
    assert (store.look("toy").state == "whole") == (status == 0)
    assert (b"nothing was fetched" in shown) == (status == 1)


def test_a_model_that_is_there_is_not_fetched_again_unless_it_must(run: Run, server: StandIn, store: Store) -> None:
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    server.asked.clear()
    again = run("pull", "toy")
    assert again.exit_code == 0
    assert "is there already" in again.stderr
    assert server.asked == []
    assert run("pull", "toy", "--accept-licence", "--force").exit_code == 0
    assert server.asked != []
    # asked for in another precision, it is another bundle
    assert run("pull", "toy", "--accept-licence", "--precision", "loud").exit_code == 0
    assert listed(run)["toy"]["version"] == "1-loud"


def test_a_bundle_of_another_format_is_made_again(run: Run, store: Store) -> None:
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    manifest = store.bundle("toy") / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 0}))
    assert listed(run)["toy"]["state"] == "other format"
    assert "voxgate models pull toy" in run("list").stdout
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    assert listed(run)["toy"]["state"] == "whole"


def test_the_download_is_kept_if_asked_and_serves_again(run: Run, server: StandIn, store: Store) -> None:
    assert run("pull", "toy", "--accept-licence", "--keep-download").exit_code == 0
    files = {one.relative_to(store.download("toy")).as_posix() for one in store.download("toy").rglob("*.*")}
    assert files == {"net.bin", "config.json", "aux/voice.bin"}
    server.asked.clear()
    assert run("pull", "toy", "--accept-licence", "--precision", "loud").exit_code == 0
    assert [one.file for one in server.asked if one.file] == []
    assert not store.download("toy").exists()


def test_what_the_export_is_not_to_use_is_not_fetched(run: Run, server: StandIn) -> None:
    assert run("pull", "toy", "--accept-licence", "--without-reference").exit_code == 0
    assert server.sent_bytes("voice.bin") == 0
    assert not any("toys/aux" in one.path for one in server.asked)


def test_the_hub_can_be_chosen(run: Run, server: StandIn) -> None:
    assert run("pull", "toy", "--accept-licence", "--hub", "modelscope").exit_code == 0
    assert {one.path for one in server.asked if one.file == "net.bin"} == {"/api/v1/models/toys/toy/repo"}


def test_the_other_hub_is_taken_when_one_cannot_be_reached(
    run: Run, server: StandIn, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = run("pull", "toy", "--accept-licence", "--without-reference")
    assert done.exit_code == 0, done.stderr
    assert f"fetching from {server.url}/models/toys/toy" in done.stderr
    assert "Hugging Face at 127.0.0.1:9 cannot be reached" in refused(
        run("pull", "toy", "--accept-licence", "--force", "--hub", "huggingface")
    )
    assert store.look("toy").state == "whole"


def test_cuts_are_survived_and_many_cuts_are_said(run: Run, server: StandIn, store: Store) -> None:
    server.faults["net.bin"] = [Fault(cut_after=100_000)] * 2 + [Fault(cut_after=0)] * 6
    said = refused(run("pull", "toy", "--accept-licence"))
    assert "net.bin" in said
    assert f"200 kB of the download are kept in {store.download('toy')}; the same command goes on from there" in said
    assert store.look("toy").state == "no bundle"
    assert listed(run)["toy"]["part_bytes"] == 200_000
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    assert server.sent_bytes("net.bin") == len(NET)


def test_wrong_bytes_are_never_exported(run: Run, server: StandIn, store: Store) -> None:
    server.faults["net.bin"] = [Fault(wrong=True)] * 2
    assert "net.bin of toys/toy came twice with wrong bytes" in refused(run("pull", "toy", "--accept-licence"))
    assert store.look("toy").state == "no bundle"
    assert run("pull", "toy", "--accept-licence").exit_code == 0


def test_a_hub_that_wants_to_know_who_asks(run: Run, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    server.token = "hf_secret"
    assert "set HF_TOKEN" in refused(run("pull", "toy", "--accept-licence", "--hub", "huggingface"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    done = run("pull", "toy", "--accept-licence", "--hub", "huggingface")
    assert done.exit_code == 0, done.stderr
    assert "hf_secret" not in done.output
    assert all("authorization" not in one.headers for one in server.asked if one.server == "store")


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    run: Run, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.pull.free_bytes", lambda _: 300_000)
    said = refused(run("pull", "toy", "--accept-licence"))
    assert "room for 300 kB, and 400 kB are to be fetched and about 1.0 kB for the bundle" in said
    assert server.sent_bytes("net.bin") == 0


def test_what_the_export_needs_is_looked_for_first(run: Run, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.cli.recipes, "find_spec", lambda _: None)
    said = refused(run("pull", "toy", "--accept-licence"))
    assert said == "toy needs json, not installed here: `scripts/install toy`, or pip install 'voxgate[toy]'"
    assert server.asked == []


def test_two_pulls_of_a_model_at_once_are_one_too_many(run: Run, store: Store) -> None:
    with store.working("toy"):
        assert "already: wait until that has ended" in refused(run("pull", "toy", "--accept-licence"))
        assert "already" in refused(run("rm", "toy"))
        assert "prune when that has ended" in refused(run("prune"))
    assert run("pull", "toy", "--accept-licence").exit_code == 0


def test_a_model_that_nobody_knows_is_told_with_near_names(run: Run) -> None:
    assert "there is no model 'toi' that can be made; near names: toy" in refused(run("pull", "toi"))


@pytest.mark.parametrize("args", [["--precision", "soft"], ["--precision", "int4"], ["--volume", "11"]])
def test_options_that_the_export_does_not_take_are_wrong_usage(run: Run, args: list[str]) -> None:
    """`int4` is what another model's export takes."""
    assert run("pull", "toy", *args).exit_code == 2


# --- stopped ---


def test_a_pull_that_is_killed_goes_on_where_it_was(
    plugin: Path, home: Path, server: StandIn, store: Store, run: Run
) -> None:
    server.faults["net.bin"] = [Fault(hold_after=250_000)]
    process = start("pull", "toy", "--accept-licence", plugin=plugin, home=home, server=server)
    part = store.download("toy") / "net.bin.part"
    wait_for(lambda: part.exists() and part.stat().st_size == 250_000, process)
    process.kill()
    process.communicate(timeout=DEADLINE_S)
    done = run("pull", "toy", "--accept-licence")
    assert done.exit_code == 0, done.stderr
    assert server.ranges("net.bin") == ["", "bytes=250000-"]
    assert server.sent_bytes("net.bin") == len(NET)
    assert (store.bundle("toy") / "net.onnx").read_bytes() == NET


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pull_that_is_stopped_says_that_it_can_be_gone_on_with(
    plugin: Path, home: Path, server: StandIn, store: Store, number: signal.Signals
) -> None:
    server.faults["net.bin"] = [Fault(hold_after=250_000)]
    process = start("pull", "toy", "--accept-licence", plugin=plugin, home=home, server=server)
    part = store.download("toy") / "net.bin.part"
    wait_for(lambda: part.exists() and part.stat().st_size == 250_000, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert stdout == b""
    last = stderr.decode().splitlines()[-1]
    assert last.startswith("Error: stopped: 250 kB of the download are kept in ")
    assert last.endswith("the same command goes on from there")
    assert part.stat().st_size == 250_000


def wait_for(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not holds():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.01)


def test_a_disk_that_runs_full_is_said_with_the_file(
    plugin: Path, home: Path, server: StandIn, store: Store, run: Run
) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)); "
    code = limit + "from gateway.cli import main; main()"
    environment = surroundings(home, **server.environ(PYTHONPATH=os.pathsep.join([str(plugin), str(ROOT)])))
    command = [sys.executable, "-c", code, "models", "pull", "toy", "--accept-licence"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"voxgate: {store.download('toy') / 'net.bin.part'}: ")
    assert "what has come is kept" in done.stderr
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    assert server.ranges("net.bin")[1:] == ["bytes=200000-"]


def test_a_stopped_export_leaves_no_bundle_and_keeps_the_download(
    run: Run, server: StandIn, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_STOPS", "1")
    assert "400 kB of the download are kept" in refused(run("pull", "toy", "--accept-licence"))
    assert store.look("toy").state == "no bundle"
    monkeypatch.delenv("TOY_STOPS")
    server.asked.clear()
    assert run("pull", "toy", "--accept-licence").exit_code == 0
    assert [one.file for one in server.asked if one.file] == []


def test_a_stopped_export_of_files_that_one_has_says_that_it_can_be_gone_on_with(
    run: Run, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.bin").write_bytes(b"net")
    monkeypatch.setenv("TOY_STOPS", "1")
    assert "the same command goes on" in refused(run("export", "toy", "--from", str(tmp_path)))
    assert store.look("toy").state == "no bundle"
    monkeypatch.delenv("TOY_STOPS")
    assert run("export", "toy", "--from", str(tmp_path)).exit_code == 0


# --- export, verify ---


@pytest.fixture
def source(home: Path) -> Path:
    folder = home / "files"
    folder.mkdir()
    (folder / "net.bin").write_bytes(b"a network")
    return folder


def test_a_bundle_is_made_of_files_that_are_there(run: Run, source: Path, store: Store, server: StandIn) -> None:
    done = run("export", "toy", "--from", str(source), "--precision", "loud")
    assert done.exit_code == 0, done.stderr
    assert (store.bundle("toy") / "net.onnx").read_bytes() == b"A NETWORK"
    assert "Toy Licence, https://toy.example/licence" in done.stderr
    assert server.asked == []
    assert (source / "net.bin").exists()


def test_a_failed_export_is_one_line_and_leaves_the_old_bundle(run: Run, source: Path, store: Store) -> None:
    assert run("export", "toy", "--from", str(source)).exit_code == 0
    (source / "net.bin").write_bytes(b"broken")
    assert refused(run("export", "toy", "--from", str(source))) == "net.bin is no network: fetch another"
    assert (store.bundle("toy") / "net.onnx").read_bytes() == b"a network"
    (source / "net.bin").unlink()
    done = run("export", "toy", "--from", str(source))
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == f"voxgate: {source / 'net.bin'}: No such file or directory"


def test_a_bundle_is_verified_with_and_without_its_source(run: Run, source: Path, store: Store) -> None:
    assert "voxgate models pull toy" in refused(run("verify", "toy"))
    run("export", "toy", "--from", str(source))
    done = run("verify", "toy")
    assert (done.exit_code, done.stdout) == (0, "ok     files: looked at\n")
    told = json.loads(run("verify", "toy", "--from", str(source), "--json").stdout)
    assert told["passed"] is True
    assert told["compared_with"] == str(source)
    assert [one["name"] for one in told["checks"]] == ["files", "numbers"]
    (source / "net.bin").write_bytes(b"another")
    done = run("verify", "toy", "--from", str(source))
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1] == "FAILED numbers: far apart: export it again"
    assert done.stderr == "Error: toy failed 1 of 2 checks: numbers\n"
    failed = run("verify", "toy", "--from", str(source), "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["passed"] is False


def test_a_kept_download_is_what_a_bundle_is_compared_with(run: Run, store: Store) -> None:
    run("pull", "toy", "--accept-licence", "--keep-download")
    told = json.loads(run("verify", "toy", "--json").stdout)
    assert told["compared_with"] == str(store.download("toy"))


# --- list, rm, prune ---


def test_the_list_has_what_can_be_had_and_what_is_there(run: Run, source: Path, store: Store) -> None:
    run("export", "toy", "--from", str(source))
    (store.folder / "unknown").mkdir()
    table = run("list")
    assert table.exit_code == 0
    lines = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert {"NAME", "toy", "unknown"} <= set(lines)
    assert "whole" in lines["toy"]
    assert "no bundle" in lines["unknown"]


def test_a_removed_model_is_gone_with_its_download(run: Run, store: Store) -> None:
    run("pull", "toy", "--accept-licence", "--keep-download")
    done = run("rm", "toy")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"removed bundle {store.bundle('toy')}: 400 kB",
        f"removed download {store.download('toy')}: 400 kB",
    ]
    assert store.look("toy").state == "no bundle"
    assert "there is nothing of a model 'toy'" in refused(run("rm", "toy"))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system has no /proc to tell who reads what")
def test_a_model_in_use_is_removed_only_by_force(run: Run, source: Path, store: Store) -> None:
    run("export", "toy", "--from", str(source))
    with (
        (store.bundle("toy") / "net.onnx").open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages,
    ):
        said = refused(run("rm", "toy"))
        assert f"process {os.getpid()}" in said
        assert "enabled: false" in said
        assert run("rm", "toy", "--force").exit_code == 0
        assert pages[:] == b"a network"


def test_prune_takes_what_nothing_reads_and_says_what_it_freed(run: Run, server: StandIn, store: Store) -> None:
    run("pull", "toy", "--accept-licence", "--keep-download")
    (store.folder / ".toy.replaced").mkdir()
    (store.folder / ".toy.replaced" / "net.onnx").write_bytes(bytes(2000))
    dry = run("prune", "--dry-run")
    assert dry.exit_code == 0
    assert dry.stdout.splitlines()[-1] == "would free 402 kB"
    assert store.download("toy").exists()
    assert "`voxgate models prune` would free 402 kB" in run("list").stderr
    told = json.loads(run("prune", "--json").stdout)
    assert (told["dry_run"], told["freed_bytes"]) == (False, len(NET) + 2 + 5 + 2000)
    assert {one["path"] for one in told["removed"]} == {str(store.folder / ".toy.replaced"), str(store.download("toy"))}
    assert store.look("toy").state == "whole"
    assert run("prune").stdout == "freed 0 bytes\n"


def test_the_recipe_of_the_plugin_is_the_one_that_was_tried(run: Run) -> None:
    assert listed(run)["toy"]["summary"] == toy.RECIPE.summary
