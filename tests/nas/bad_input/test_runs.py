"""What is answered to broken run folders, and to options that contradict them."""

import subprocess
import sys

import pytest

from tests.nas.bad_input.conftest import DEEP, rewrite
from tests.nas.conftest import SPACE

BROKEN_RUNS = [
    ("", "run.json cannot be read as JSON"),
    ("{", "run.json cannot be read as JSON"),
    (DEEP, "run.json cannot be read as JSON: maximum recursion depth"),
    ('{"format": ' + "9" * 5000 + "}", "run.json cannot be read as JSON: Exceeds the limit"),
    ("[]", r"run.json is \[\]; expected a mapping"),
    (
        lambda r: r.update(format=2),
        "has format 2; this version reads format 1; a newer version wrote it, so update",
    ),
    (lambda r: r.update(format=True), "has format True"),
    (lambda r: r.pop("format"), "has no format; expected format: 1"),
    (lambda r: r["device"].update(also=5), "device's also is 5; expected a list"),
    (lambda r: r["device"].update(also=[5]), "has 2 devices and 1 targets"),
    (lambda r: r.update(settings=[1]), r"run.json: settings is \[1\]; expected a mapping"),
    (lambda r: r.pop("device"), "run.json: device is None; expected a mapping"),
    (lambda r: r["device"].pop("name"), "run.json: device's name is None; expected text"),
    (lambda r: r.pop("versions"), "run.json: versions is None"),
    (lambda r: r.pop("space_yaml"), "run.json: space_yaml is None; expected text"),
    (lambda r: r["settings"].pop("target_ms"), "run.json: settings have no target_ms"),
    (lambda r: r["settings"].update(target_ms=float("nan")), "run.json: target-ms is nan"),
    (lambda r: r["settings"].update(target_ms=10**400), "run.json: target-ms is a number of 1329 bits"),
    (lambda r: r["settings"].update(target_ms="5"), "run.json: target-ms is '5'; expected a finite number"),
    (lambda r: r["settings"].update(trials=1.5), "run.json: trials is 1.5; expected a whole number"),
    (lambda r: r["settings"].update(space={}), "run.json: space is {}; expected text"),
    (lambda r: r["settings"].update(data=5), "run.json: data is 5; expected text"),
    (lambda r: r["settings"].update(colour="red"), "run.json: settings: key is 'colour'; expected one of"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN_RUNS)
def test_broken_runs(refused, run_folder, change, words):
    rewrite(run_folder, change)
    refused(words, "nas-search", "--resume", run_folder.path)
    refused(words, "nas-report", run_folder.path)


def test_a_broken_space_in_a_run(refused, run_folder):
    rewrite(run_folder, lambda record: record.update(space_yaml="format: 7"))
    (run_folder.path / ".lock").touch()
    refused("mnasnet: the space has format 7", "nas-search", "--resume", run_folder.path)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("target-ms", 6, r"--target-ms is 6.0, but the run was started with 5.0; leave --target-ms out"),
        ("data", "elsewhere", r"--data is '.*/elsewhere', but the run was started with 'digits'"),
        ("sampler", "random", "--sampler is 'random', but the run was started with 'surrogate'"),
        ("objective", "pareto", "--objective is 'pareto', but the run was started with 'soft'"),
        ("space", "mnasnet-vertex", "--space is 'mnasnet-vertex', but the run was started with 'mnasnet'"),
        ("device", "cpu:litert", "--device is 'cpu:litert', but the run was started with 'cpu'"),
        ("max-latency-factor", 3, "--max-latency-factor is 3.0, but the run was started with 2.0"),
        ("proxy-samples", 100, "--proxy-samples is 100, but the run was started with None"),
        ("seed", 1, "--seed is 1, but the run was started with 0"),
        ("trials", 0, "trials is 0; expected a whole number of at least 1"),
        ("data", "~nobody-here", "data '~nobody-here' cannot be a path"),
    ],
)
def test_contradictions_of_a_resumed_run_are_named(refused, run_folder, option, value, words):
    refused(words, "nas-search", "--resume", run_folder.path, f"--{option}", value)


def test_a_space_that_was_changed_since_is_told_and_one_that_moved_is_the_same(refused, run_folder, tmp_path):
    rewrite(
        run_folder,
        lambda record: (record.update(space_yaml=SPACE), record["settings"].update(space="mine.yaml")),
    )
    (tmp_path / "moved.yaml").write_text(SPACE)
    resume = ["nas-search", "--resume", run_folder.path, "--space"]
    refused("trials is 0; expected", *resume, "moved.yaml", "--trials", 0)  # what is wrong is another option
    (tmp_path / "mine.yaml").write_text(SPACE.replace("head: 16", "head: 24"))
    words = "--space is 'mine.yaml', but the run was started with what this file said then; leave --space out"
    refused(words, *resume, "mine.yaml")


HOLD = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); input()"


def test_a_run_that_another_search_works_in(refused, run_folder, quick):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, run_folder.path / ".lock"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        words = "a-run is in use by another search; wait for it or stop it"
        refused(words, "nas-search", "--resume", run_folder.path, "--trials", 99)
    finally:
        holder.communicate(b"\n", timeout=20)


def test_reports_of_what_is_no_run(refused, run_folder, tmp_path):
    refused("nothing is not a run folder: it has no run.json", "nas-report", "nothing")
    refused("run folder '~nobody-here' cannot be a path", "nas-report", "~nobody-here")
    refused("study.db does not exist: the run has no study", "nas-report", run_folder.path)
    refused("Missing argument", "nas-report")
    (run_folder.path / "study.db").write_bytes(b"no database, but long enough to be looked at. " * 30)
    refused(
        "study.db cannot be read as an Optuna study: DatabaseError: file is not",
        "nas-report",
        run_folder.path,
    )


def test_a_report_escapes_what_the_run_holds(run, run_folder):
    from nas.study import open_study

    evil = "<script>alert(1)</script>"
    open_study(run_folder.database, None, "soft", create=True)
    rewrite(
        run_folder, lambda r: (r["settings"].update(data=evil, space=evil), r["device"].update(name=evil))
    )
    assert run("nas-report", run_folder.path).code == 0
    page = (run_folder.path / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
