"""A study in a journal file, in place of the run's own database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from candidates import InputError
from nas.run_folder import open_run
from nas.stopping import Stop
from nas.storage import alone_with, place_at
from nas.study import open_study
from nas.trials import study_rows
from tests.nas.conftest import Lab


def test_a_search_keeps_its_study_in_a_journal_of_plain_lines(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    settings = lab.settings(trials=5, storage=f"journal:{path}", study="mobile")
    rows = lab.search(settings)
    assert not (lab.path / "study.db").exists()
    assert all(isinstance(json.loads(line), dict) for line in path.read_text().splitlines())
    folder = open_run(lab.path)
    assert str(folder.database) == str(path)
    study = open_study(folder.database, None, "soft", create=False)
    assert study_rows(study, settings) == rows
    other = Lab(tmp_path / "other")  # a later search in a folder of its own goes on with the study
    more = other.search(lab.settings(trials=8, storage=f"journal:{path}", study="mobile"))
    assert more[: len(rows)] == rows
    assert sum(row.state == "COMPLETE" for row in more) == 8
    with pytest.raises(InputError, match="holds no study called other"):
        open_study(place_at(f"journal:{path}", "other"), None, "soft", create=False)


def test_a_killed_search_is_gone_on_with(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    settings = lab.settings(trials=6, storage=f"journal:{path}")
    stop = Stop(print)

    def kill(count: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    lab.before_training = kill
    with pytest.raises(KeyboardInterrupt):
        lab.search(settings, stop)
    with path.open("ab") as file:
        file.write(b'{"op_code": 8, "work')  # as far as the disk had it
    lab.before_training = lambda count: None
    with alone_with(place_at(f"journal:{path}", "search")):
        rows = lab.search(settings)
    assert sum(row.state == "COMPLETE" for row in rows) == 6
    assert len(lab.trained) == len(set(lab.trained))
    assert [row.state for row in rows].count("FAIL") == 1


def test_one_search_at_a_time_works_on_a_journal(tmp_path: Path) -> None:
    place = place_at(f"journal:{tmp_path / 'journal'}", "search")
    code = (
        "import sys; from nas.storage import alone_with, place_at\n"
        "with alone_with(place_at(sys.argv[1], 'search')): print('held')"
    )
    with alone_with(place):
        other = subprocess.run(
            [sys.executable, "-c", code, place.url], capture_output=True, text=True, check=False
        )
    assert "InputError" in other.stderr
    assert "is in use by another search" in other.stderr


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\nworld\n")
    with pytest.raises(
        InputError, match="text cannot be read as an Optuna journal: it is another kind of file"
    ):
        open_study(place_at(f"journal:{tmp_path / 'text'}", "search"), None, "soft", create=True)
    with pytest.raises(InputError, match="expected journal:FILE in a folder that exists"):
        place_at(f"journal:{tmp_path / 'none' / 'journal'}", "search")
    with pytest.raises(InputError, match="expected journal:FILE in a folder that exists"):
        place_at(f"journal:{tmp_path}", "search")


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text('{"precious": [1, 2, 3]}')  # one line without an end, as a torn journal has
    with (
        pytest.raises(InputError, match="another kind of file"),
        alone_with(place_at(f"journal:{path}", "s")),
    ):
        pass
    assert path.read_text() == '{"precious": [1, 2, 3]}'
    path.write_text('{"op_code":0,"worker_id":"a","study')  # killed while it wrote its first line
    with alone_with(place_at(f"journal:{path}", "s")):
        assert path.read_text() == ""
