import json
import subprocess
import sys
from pathlib import Path

import pytest

from candidates import InputError
from latency.table import fit_table, leave_one_out, read_table

PIXEL1 = Path(__file__).parent / "data" / "pixel1.csv"


def test_the_published_pixel_1_latencies_are_modelled():
    rows = read_table(PIXEL1)
    found = leave_one_out(rows)
    assert len(rows) == len(found.errors) == 25
    assert found.mean_error <= 0.036
    assert found.within_10 >= 23
    assert rows[found.outliers[0]].latency_ms == 17  # the one that fits nothing
    predictor = fit_table(rows, "pixel 1")
    assert "modelled" in predictor.source
    assert predictor.predict(rows[1].architecture).latency_ms == pytest.approx(78, rel=0.1)


def test_left_out_rows_do_not_help_their_own_prediction():
    rows = read_table(PIXEL1)
    import dataclasses

    changed = [dataclasses.replace(rows[0], latency_ms=10.0), *rows[1:]]
    ours, theirs = leave_one_out(rows).errors[0], leave_one_out(changed).errors[0]
    assert (1 + ours) * rows[0].latency_ms == pytest.approx((1 + theirs) * 10.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,width,latency_ms\n", "expected model,width,resolution,latency_ms"),
        ("", "expected model"),
        ("model,width,resolution,latency_ms\nmnasnet-a1,1.0,224\n", "line 2: expected 4 values"),
        ("model,width,resolution,latency_ms\nmnasnet-a1,1,224,0\n", "line 2: latency_ms is 0"),
        ("model,width,resolution,latency_ms\nmnasnet-a1,1,224,nan\n", "latency_ms is 'nan'"),
        ("model,width,resolution,latency_ms\nmnasnet-a1,x,224,7\n", "width is 'x'"),
        ("model,width,resolution,latency_ms\nmnasnet-a1,1,22.5,7\n", "resolution is '22.5'"),
        ("model,width,resolution,latency_ms\nmnasnet-a9,1,224,7\n", "did you mean mnasnet-a1"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path, text, said):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"t\.csv.*{said}"):
        read_table(path)


def test_the_command_prints_one_object():
    command = [sys.executable, "-c", "from nas.commands.latency import main; main()", "calibrate"]
    command += ["--from-table", str(PIXEL1), "--leave-one-out", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["count"] == 25
    assert found["within_10"] >= 23
    assert 0 < found["mean_error"] <= 0.036 <= found["max_error"] < 1
    assert "modelled" in found["source"]


def test_a_header_with_spaces_is_read(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("model, width, resolution, latency_ms\nmnasnet-a1, 1.0, 224, 78\n")
    (row,) = read_table(path)
    assert row.latency_ms == 78
