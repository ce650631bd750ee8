import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candidates import RunError
from latency.adb.transport import Finished
from latency.benchmark_model import parse
from latency.invocation import run_benchmark_model
from latency.settings import Settings

NEW = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Graph: [./model.tflite]
INFO: Replacing 58 out of 58 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 partitions
INFO: Initialized session in 8.55ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930
INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450 p5=32700 median=33180 p95=33900
INFO: Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, Inference (avg): 33209.4
INFO: Memory footprint delta from the start of the tool (MB): init=4.58984 overall=7.82031
"""
LOGCAT = """\
11-20 10:00:00.123  1234  1234 I tflite  : count=3 first=190000 curr=140990 min=140071 max=195121 avg=1.6e5 std=3e4
11-20 10:00:09.123  1234  1234 I tflite  : count=25 first=187533 curr=140990 min=140071 max=195121 avg=145528 \
std=13583 p5=140545 median=141253 p95=187533
11-20 10:00:09.124  1234  1234 I tflite  : Inference timings in us: Init: 855, First inference: 190000, \
Warmup (avg): 160000, Inference (avg): 145528
"""
OLD = """\
count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930

count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450

Average inference timings in us: Warmup: 34825.1, Init: 8550, Inference: 33209.4
"""
VERY_OLD = "Average inference timings in us: Warmup: 34825.1, Init: 8550, Inference: 33209.4\n"


def test_new_builds():
    found = parse(NEW)
    assert (found.count, found.median_us, found.p5_us, found.p95_us) == (50, 33180, 32700, 33900)
    assert (found.average_us, found.std_us, found.init_us, found.first_us) == (33209.4, 450, 855, 49060)
    assert found.memory_mb == 7.82031
    assert found.delegates == (("TfLiteXNNPackDelegate", 1.0),)


def test_logcat_lines_and_exponents():
    found = parse(LOGCAT)
    assert (found.count, found.median_us, found.p95_us) == (25, 141253, 187533)


def test_old_builds_have_no_quantiles():
    found = parse(OLD)
    assert (found.count, found.average_us, found.median_us) == (50, 33209.4, None)
    assert found.init_us == 8550
    assert parse(VERY_OLD).average_us == 33209.4
    assert parse(VERY_OLD).count is None


def test_the_other_summary_line():
    text = "Timings (microseconds): count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929\n"
    assert parse("count=1 curr=40000\n" + text).average_us == 79732


def test_a_part_of_the_nodes_on_the_fallback_shows():
    text = NEW.replace("Replacing 58 out of 58", "Replacing 29 out of 58").replace(
        "1 partitions", "7 partitions"
    )
    assert parse(text).delegates == (("TfLiteXNNPackDelegate", 0.5),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "printed no timings"),
        ("Segmentation fault\n", "Segmentation fault"),
        (
            "INFO: count=15 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930\n",
            "after its warm-up",
        ),
        (NEW + "ERROR: Failed to apply GPU delegate.\nBenchmarking failed.\n", "delegate"),
        (re.sub(r"avg=\S+", "avg=0", NEW), "average of 0.0"),
        (NEW.replace("count=50", "count=0"), "0 runs"),
        ("count=999999 first=0 curr=0", "after its warm-up"),
    ],
)
def test_what_is_no_measurement_is_an_error(text, said):
    with pytest.raises(RunError, match=re.escape(said)):
        parse(text)


@given(st.text(max_size=200), st.integers(0, len(NEW)), st.integers(0, len(NEW)))
def test_damaged_output_is_a_measurement_above_zero_or_an_error(noise, start, end):
    try:
        found = parse(NEW[:start] + noise + NEW[end:])
    except RunError:
        return
    assert found.average_us > 0


@pytest.mark.parametrize(
    ("line", "spread"),
    [
        ("avg=9480 std=3060 p5=8985 median=9003 p95=9060", 75 / 3.29 / 9003),  # one run was preempted
        ("avg=9480 std=3060", 3060 / 9480),
    ],
)
def test_one_slow_run_is_no_spread_where_there_are_quantiles(line, spread):
    class Folder:
        def run(self, arguments, seconds, prefix=()):
            head = "count=50 first=9000 curr=9000 min=8950 max=30600 "
            return Finished(
                0, f"{head}{line}\nInference timings in us: Init: 855, Inference (avg): 9480\n", ""
            )

    found = run_benchmark_model(Folder(), "./b", "m.tflite", Settings(), [], 60.0)
    assert found.cv == pytest.approx(spread)
