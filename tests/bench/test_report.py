from __future__ import annotations

import json

from bench.report import Figure, as_json, shown, table

FIGURES = [
    Figure("Hits", "CPU", 93.21, "µs"),
    Figure("Hits", "ratio", 1.25, "times", 1.4),
    Figure("Memory", "gateway", 131.9, "MB", 120.0),
]


def test_an_aim_stands_beside_its_figure_with_whether_it_is_met() -> None:
    lines = table(FIGURES).splitlines()
    assert lines[0] == "Hits"
    assert "aim" not in lines[1]
    assert lines[2].endswith("aim: at most 1.4  met")
    assert lines[4] == "Memory"
    assert lines[5].endswith("aim: at most 120  NOT MET")


def test_the_json_is_one_line_with_every_figure() -> None:
    line = as_json(FIGURES, {"cores": 2})
    assert "\n" not in line
    read = json.loads(line)
    assert read["conditions"] == {"cores": 2}
    assert [(f["name"], f["value"], f["met"]) for f in read["figures"]] == [
        ("CPU", 93.21, None),
        ("ratio", 1.25, True),
        ("gateway", 131.9, False),
    ]


def test_numbers_show_three_figures_that_count() -> None:
    assert [shown(value) for value in (0.12345, 1.5, 93.21, 999.4, 10638.2)] == [
        "0.123",
        "1.5",
        "93.2",
        "999",
        "10,638",
    ]
