"""The page of figures: written by its command, each figure under date, machine and commit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks import history
from benchmarks.measure import Rate, Report
from benchmarks.page import EARLIER, INTRODUCTION, PAGE, main, page


def measured(
    file: Path, date: str, rates: dict[str, float], *, quick: bool = False
) -> dict[str, Any]:
    """A run of the parts `load` and `api`, as `make bench` writes it."""
    report = Report({"events": 20_000, "rounds": 1, "quick": quick})
    for part, rate in rates.items():
        report.begin(part)
        report.add(Rate(f"{part}: bare COPY", 10, [1000.0]))
        report.add(Rate(f"{part}: ours", 10, [rate], f"{part}: bare COPY", 0.5))
    report.fact("memory | peak", "114 MB", "flat")
    report.write(file)
    run: dict[str, Any] = json.loads(file.read_text())
    run["settings"] |= {"date": f"{date}T10:00:00+00:00", "commit": f"of-{date}"}
    file.write_text(json.dumps(run))
    return run


def test_every_figure_stands_under_date_machine_and_commit(tmp_path: Path) -> None:
    run = measured(tmp_path / "run.json", "2026-03-01", {"load": 840.0})
    text = page([run])
    assert "## Measured on 2026-03-01, commit of-2026-03-01\n" in text
    assert re.search(r"\n\d+ cores of .+, \d+ GB; Python 3\.\S+; load before the run", text)
    assert "| load: ours | 840 | load: bare COPY | 0.84 | 0.5 |" in text
    assert "| memory \\| peak | 114 MB | flat |" in text


def test_a_part_that_was_measured_again_takes_the_place_of_the_earlier_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, out = (tmp_path / name for name in ("a.json", "b.json", "page.md"))
    measured(second, "2026-03-02", {"load": 900.0})
    measured(first, "2026-03-01", {"api": 500.0, "load": 840.0})
    main([second, first], out, tmp_path / "history.csv")
    text = out.read_text().partition(EARLIER)[0]
    assert "0.90" in text
    assert "0.84" not in text
    assert "| api: ours | 500 |" in text
    assert text.index("Measured on 2026-03-02") < text.index("Measured on 2026-03-01")
    assert str(out) in capsys.readouterr().out


def test_a_small_run_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    whole, small, out = (tmp_path / name for name in ("a.json", "b.json", "page.md"))
    measured(whole, "2026-03-01", {"load": 840.0})
    measured(small, "2026-03-02", {"api": 500.0, "load": 900.0}, quick=True)
    main([whole, small], out, tmp_path / "history.csv")
    text = out.read_text()
    assert "0.84" in text
    assert "0.90" not in text
    assert "| api: ours | 500 |" in text


def test_ratios_of_earlier_runs_stand_beside_those_of_the_last_without_doubles(
    tmp_path: Path,
) -> None:
    first, second, small = (tmp_path / f"{name}.json" for name in "abc")
    out, kept = tmp_path / "page.md", tmp_path / "history.csv"
    measured(first, "2026-03-01", {"load": 840.0})
    main([first], out, kept)
    # As when the results of a run were deleted, and another one was made.
    measured(second, "2026-03-02", {"api": 500.0, "load": 900.0})
    measured(small, "2026-03-03", {"load": 100.0}, quick=True)
    for _ in range(2):
        main([second, small], out, kept)
    earlier = out.read_text().partition(EARLIER)[2]
    header = re.search(r"^\| measured \| (.+) \| (.+) \|$", earlier, re.M)
    assert header is not None
    assert [one.partition(", load")[0] for one in header.groups()] == [
        "2026-03-01, of-2026-03-01",
        "2026-03-02, of-2026-03-02",
    ]
    assert "| load: ours, of load: bare COPY | 0.84 | 0.90 |" in earlier
    assert "| api: ours, of api: bare COPY |  | 0.50 |" in earlier
    assert "| memory \\| peak | 114 MB |" in earlier
    assert "0.10" not in earlier
    lines = history.read(kept)
    assert len(lines) == len(set(lines)) == 5


def test_what_a_commit_measured_again_on_a_day_takes_the_place_of_what_it_measured_before(
    tmp_path: Path,
) -> None:
    runs = [measured(tmp_path / "a.json", "2026-03-01", {"load": rate}) for rate in (800.0, 900.0)]
    lines = history.with_runs(history.with_runs([], runs[:1]), runs[1:])
    assert [line.value for line in lines if line.against] == ["0.90"]


def test_without_a_run_a_line_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.page.RESULTS", tmp_path)
    with pytest.raises(SystemExit, match="run `make bench` first"):
        main(None, tmp_path / "page.md")


def test_the_page_of_the_docs_was_written_by_the_command_at_a_commit() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.startswith(INTRODUCTION)
    assert re.findall(r"^## Measured on \d{4}-\d\d-\d\d, commit [0-9a-f]{7,}$", text, re.M)
