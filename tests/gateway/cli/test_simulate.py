"""`voxgate simulate`: what it reads, what it prints, and what it says of files that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import voxgate

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "routing"
LOG = EXAMPLE / "served.jsonl"
LINES = LOG.read_bytes().splitlines(keepends=True)


def simulate(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    told = ["simulate", "--config", str(EXAMPLE), *(str(one) for one in arguments)]
    if "--policies" not in told:
        told += ["--policies", str(EXAMPLE / "candidate.yaml")]
    return CliRunner(env={"VOXGATE_DATA": "/nonexistent"}).invoke(voxgate, told, input=stdin)


def found(*arguments: str | Path, stdin: bytes | None = None) -> dict[str, Any]:
    result = simulate("--json", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    fields: dict[str, Any] = json.loads(result.stdout)
    return fields


def test_the_policy_in_force_against_itself_changes_nothing() -> None:
    same = found(LOG, "--policies", EXAMPLE / "policies.yaml")
    assert same["changes"] == {"requests": 0, "percent": 0.0, "other_rule_same_engine": 0, "kinds": []}
    assert same["cost_difference"] == 0
    assert same["candidate"] == same["baseline"]


def test_each_request_is_accounted_for_once_under_both_policies() -> None:
    fields = found(LOG)
    assert fields["requests"] == len(LINES)
    for one in ("recorded", "baseline", "candidate"):
        tally = fields[one]
        assert tally["spoken"] + tally["from_cache"] + sum(tally["unserved"].values()) == len(LINES)
    assert sum(kind["requests"] for kind in fields["changes"]["kinds"]) == fields["changes"]["requests"] > 0
    assert sum(fields["candidate"]["rules"].values()) == len(LINES)


def test_rotated_and_compressed_logs_in_any_order_are_one(tmp_path: Path) -> None:
    older, newer = tmp_path / "served.jsonl.1", tmp_path / "served.jsonl"
    older.write_bytes(gzip.compress(b"".join(LINES[:20])))
    newer.write_bytes(b"".join(LINES[20:]))
    assert found(newer, older) == found(older, newer) == found(LOG)


def test_standard_input_is_a_log_too() -> None:
    assert found("-", stdin=LOG.read_bytes()) == found(LOG)


def test_lines_that_cannot_be_read_are_counted_and_the_others_are_replayed(tmp_path: Path) -> None:
    log = tmp_path / "served.jsonl"
    other_form = LINES[0].replace(b'{"v":1', b'{"v":2')
    log.write_bytes(b"".join([other_form, b"\xff\xfe\n", b"\n", *LINES, LINES[0][:100]]))
    fields = found(log)
    assert fields["log"]["unreadable"] == 3
    assert fields["requests"] == len(LINES)
    assert "left out   3 lines that cannot be read" in simulate(log).stdout


def test_a_compressed_log_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    log = tmp_path / "served.jsonl.gz"
    log.write_bytes(gzip.compress(LOG.read_bytes())[:-2000])
    fields = found(log)
    assert 0 < fields["requests"] < len(LINES)
    assert fields["log"]["unreadable"] >= 1


def test_a_part_of_the_log() -> None:
    times = sorted(json.loads(line)["received"] for line in LINES)
    assert found(LOG, "--since", times[10])["requests"] == len(LINES) - 10
    assert found(LOG, "--until", times[10])["requests"] == 10
    assert found(LOG, "--since", times[5], "--until", times[10])["requests"] == 5
    limited = found(LOG, "--limit", "7")
    assert (limited["requests"], limited["first"][:19]) == (7, times[0][:19])


def test_nothing_to_replay_is_no_failure(tmp_path: Path) -> None:
    empty = tmp_path / "served.jsonl"
    empty.touch()
    assert simulate(empty).stdout == "no requests to replay\n"
    assert found(empty)["requests"] == 0


# --- the candidate ---


def test_a_candidate_with_mistakes_is_told_like_any_policy_with_its_places(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text("version: 1\nrules:\n  - {name: all, use: [espeek], order: quickest}\n")
    result = simulate(LOG, "--policies", new)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{new}:3:23 rules[0].use[0]: unknown engine 'espeek'; did you mean espeak?" in result.stderr
    assert f"{new}:3:39 rules[0].order: must be listed" in result.stderr


def test_what_is_doubtful_in_a_candidate_is_told_and_it_is_replayed(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text("version: 1\nrules:\n  - {name: all, use: [tone]}\n  - {name: rest, use: [espeak]}\n")
    result = simulate(LOG, "--policies", new)
    assert result.exit_code == 0
    assert f"{new}:4:5 rules[1]: warning: no request reaches this rule" in result.stderr
    assert "never decides" in result.stdout


@pytest.mark.parametrize("missing", ["log", "policies"])
def test_a_file_that_is_not_there_is_one_clear_line(missing: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    result = simulate(gone) if missing == "log" else simulate(LOG, "--policies", gone)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert str(gone) in result.stderr


def test_a_file_that_is_no_log_is_refused() -> None:
    result = simulate(EXAMPLE / "policies.yaml")
    assert result.exit_code == 1
    assert result.stderr == f"voxgate: {EXAMPLE / 'policies.yaml'}: no line of it is one of a served.jsonl\n"


def test_an_engine_that_does_not_exist_yet_can_be_tried(tmp_path: Path) -> None:
    engines, policies = tmp_path / "engines.yaml", tmp_path / "policies.yaml"
    engines.write_text((EXAMPLE / "engines.yaml").read_text() + "  new: {kind: tone, slots: 1}\n")
    policies.write_text("version: 1\nrules:\n  - {name: all, use: [new]}\n")
    tried = (LOG, "--engines", engines, "--policies", policies)
    guessed = found(*tried)
    assert guessed["candidate"]["engines"]["new"]["pace"]["source"] == "guessed"
    assert "* new was never measured in this log; guessed" in simulate(*tried).stdout
    assumed = found(*tried, "--assume", "new=rtf:1.5,first_audio:0.25")
    pace = assumed["candidate"]["engines"]["new"]["pace"]
    assert pace == {"source": "assumed", "real_time_factor": 1.5, "first_audio_s": 0.25, "heard_s": 0.25}
    assert "new" not in assumed["baseline"]["engines"]
    assert assumed["changes"]["percent"] == 100.0
    assert "new as assumed: real-time factor 1.5" in simulate(*tried, "--assume", "new=rtf:1.5,first_audio:0.25").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--assume", "tone=fast"], "says nothing of an engine's pace"),
        (["--assume", "tnoe=rtf:1,first_audio:1"], "there is no engine 'tnoe'; did you mean tone?"),
        (["--since", "yesterday"], "is no time"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_usage_is_explained(arguments: list[str], said: str) -> None:
    result = simulate(LOG, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_without_a_candidate_there_is_nothing_to_compare_with() -> None:
    result = CliRunner().invoke(voxgate, ["simulate", "--config", str(EXAMPLE), str(LOG)])
    assert result.exit_code == 2
    assert "--policies" in result.stderr


def test_sealed_texts_are_mentioned_only_where_a_rule_looks_at_texts(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    new.write_text("version: 1\nrules:\n  - {name: all, use: [tone, espeak], order: spread}\n")
    assert "served.key" in simulate(LOG, "--policies", new).stdout
    assert found(LOG, "--policies", new)["log"]["sealed"] == len(LINES)
    assert "served.key" not in simulate(LOG).stdout
