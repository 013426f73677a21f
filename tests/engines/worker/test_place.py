"""Where a worker is met: directories, long paths, locks, and what strays into the socket."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path

import pytest

from engines.errors import Unavailable
from engines.worker.place import MAX_PATH_BYTES, Lock, prepare_place
from engines.worker.wire import CALL, Call
from tests.engines.worker.workplace import Workplace, eventually, say


async def test_a_long_run_dir_gets_a_short_private_place(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run_dir = place.home / ("long" * 30) / "run"
    for name in ("XDG_RUNTIME_DIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    engine = await place.started()
    assert len(await say(engine, "say 2")) == 2
    path = prepare_place(engine.spec).socket
    assert path.exists()
    assert len(os.fsencode(path)) <= MAX_PATH_BYTES
    assert path.parent.parent.name == f"voxgate-{os.geteuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    await place.leave()
    await eventually(lambda: not list(path.parent.iterdir()))
    path.parent.rmdir()


def test_long_run_dirs_do_not_meet(place: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path.parents[1]))
    places = {prepare_place(place.spec(run_dir=tmp_path / (letter * 100))).socket for letter in "ab"}
    assert len(places) == 2


def test_a_name_with_odd_letters_stays_inside_its_directory(place: Workplace) -> None:
    found = prepare_place(place.spec(instance="../声音/x"))
    assert found.socket.parent == place.run_dir


def test_an_open_directory_of_ours_is_closed_to_others(place: Workplace) -> None:
    place.run_dir.mkdir(mode=0o777)
    place.run_dir.chmod(0o777)
    prepare_place(place.spec())
    assert place.run_dir.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way_is_named(place: Workplace) -> None:
    place.run_dir.write_text("")
    with pytest.raises(Unavailable, match="set another data_dir"):
        prepare_place(place.spec())


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a directory away needs root")
def test_a_directory_of_somebody_else_is_refused(place: Workplace) -> None:
    place.run_dir.mkdir()
    os.chown(place.run_dir, 12345, 12345)
    with pytest.raises(Unavailable, match="is not a directory of user"):
        prepare_place(place.spec())


def test_a_lock_is_held_by_one_and_freed_with_its_last_copy(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = Lock.take(path)
    assert lock
    copy = os.dup(lock.fd)
    lock.close()
    assert Lock.take(path) is None
    os.close(copy)
    again = Lock.take(path)
    assert again
    again.close()


def test_a_lock_whose_file_was_removed_is_no_longer_the_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    old = Lock.take(path)
    assert old
    path.unlink()
    new = Lock.take(path)
    assert new
    assert (old.is_current(), new.is_current()) == (False, True)
    old.close()
    new.close()


async def test_a_stale_socket_is_replaced(place: Workplace) -> None:
    path = prepare_place(place.spec()).socket
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert len(await say(await place.started(), "say 1")) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack(">BI", Call.SPEAK, 0xFFFFFFFF),
        CALL.pack(Call.SPEAK, 3) + b"{]}",
        CALL.pack(Call.SPEAK, 2) + b"{}",
        CALL.pack(Call.ATTACH, 19) + b'{"fingerprint":"x"}',
        CALL.pack(Call.PING, 0),
        CALL.pack(Call.SPEAK, 100) + b"{",
        b"",
    ],
)
async def test_garbage_in_the_socket_harms_nobody(place: Workplace, garbage: bytes) -> None:
    engine = await place.started()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(prepare_place(engine.spec).socket))
        stranger.sendall(garbage)
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(20)
        with contextlib.suppress(ConnectionResetError):  # the rest of the garbage was not even read
            while stranger.recv(4096):
                assert len(await say(engine, "say 1")) == 1
    assert len(await say(engine, "say 1")) == 1
    assert place.lost == []
