"""Opening graphs: how many threads, and what is said when it does not work."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from models.graph import Graph
from models.session import SessionError, count_threads, cuts_sums_off, open_session, usable_cores


def _double(folder: Path) -> Path:
    graph = Graph("double")
    x = graph.input("x", "float32", ["n"])
    graph.output("y", graph.op("Mul", x, graph.constant(np.float32(2))), "float32", ["n"])
    graph.save(folder / "double.onnx")
    return folder / "double.onnx"


def test_a_graph_runs(tmp_path):
    session = open_session(_double(tmp_path), threads=1)
    np.testing.assert_array_equal(session.run(None, {"x": np.ones(3, np.float32)})[0], [2, 2, 2])
    assert session.get_session_options().intra_op_num_threads == 1


def test_a_missing_graph_is_named(tmp_path):
    with pytest.raises(SessionError, match=r"none\.onnx is missing"):
        open_session(tmp_path / "none.onnx")


def test_a_damaged_graph_is_named(tmp_path):
    path = _double(tmp_path)
    path.write_bytes(b"no graph")
    with pytest.raises(SessionError, match=r"cannot load .*double.onnx"):
        open_session(path)


def test_a_missing_runtime_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SessionError, match="pip install onnxruntime"):
        open_session(_double(tmp_path))


def test_a_provider_that_this_build_lacks_is_named(tmp_path):
    with pytest.raises(SessionError, match="NoSuchExecutionProvider"):
        open_session(_double(tmp_path), providers=["NoSuchExecutionProvider"])


@pytest.mark.parametrize(
    ("cpuinfo", "cuts"),
    [
        ("processor : 0\nflags : fpu sse4_1 avx2 fma", True),
        ("flags\t\t: avx2 avx512f avx512_vnni", False),
        ("flags : avx2 avx_vnni", False),
        ("Features : fp asimd asimddp", False),
        ("", False),
    ],
)
def test_sums_are_cut_off_by_processors_of_a_certain_age(tmp_path, cpuinfo, cuts):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert cuts_sums_off(tmp_path / "cpuinfo") == cuts


@pytest.mark.parametrize(("variable", "threads"), [("3", 3), ("4,2", 4), ("", None), ("0", None), ("many", None)])
def test_threads_follow_the_environment_and_then_the_machine(monkeypatch, variable, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert count_threads() == (threads or usable_cores())
    assert count_threads(5) == 5


def _eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(("line", "cores"), [("150000 100000", 2), ("max 100000", 8), ("1600000 100000", 8)])
def test_a_container_may_have_a_share_of_the_cores(tmp_path, monkeypatch, line, cores):
    _eight_cores(monkeypatch)
    (tmp_path / "cpu.max").write_text(line + "\n")
    assert usable_cores(tmp_path, tmp_path / "none") == cores


def test_the_smallest_share_of_the_groups_above_counts(tmp_path, monkeypatch):
    _eight_cores(monkeypatch)
    (tmp_path / "own").write_text("0::/a/b\n")
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/cpu.max").write_text("300000 100000")
    (tmp_path / "a/b/cpu.max").write_text("max 100000")
    assert usable_cores(tmp_path, tmp_path / "own") == 3


def test_control_groups_of_the_first_version_count_too(tmp_path, monkeypatch):
    _eight_cores(monkeypatch)
    (tmp_path / "own").write_text("4:memory:/m\n1:cpu,cpuacct:/a\n")
    (tmp_path / "cpu/a").mkdir(parents=True)
    (tmp_path / "cpu/a/cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu/a/cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1")
    assert usable_cores(tmp_path, tmp_path / "own") == 1
