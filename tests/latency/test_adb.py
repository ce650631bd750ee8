"""Against a real adbd with RSA authentication, through an adb server and directly."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import adbd
import pytest

from candidates import Architecture, InputError, RunError, zoo
from latency import build_runner
from latency.adb import keys
from latency.adb.attached import attached, find
from latency.adb.transport import TimedOut
from latency.android import AndroidDevice
from latency.model import model_of
from latency.registry import resolve
from latency.settings import Settings

PROGRAM = os.environ.get("NAS_ADBD")
pytestmark = [
    pytest.mark.skipif(not PROGRAM, reason="NAS_ADBD names no adbd (tests/latency/build_adbd.sh makes one)"),
    pytest.mark.timeout(120),
]
TINY = Architecture.from_blocks(
    ["r1_k3_s22_e1_i8_o8"], stem=8, head=16, resolution=32, classes=3, name="tiny"
)
QUICK = Settings(blocks=1, min_runs=20, min_seconds=0.0, reference=False)
WAYS = ["server", "direct"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder with this machine's runner in it, built once."""
    folder = tmp_path_factory.mktemp("runner-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        build_runner.build()
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch, cache):
    """A user whose key every phone here knows."""
    assert Path(PROGRAM).is_file(), f"NAS_ADBD is {PROGRAM!r}, which is no file"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANDROID_USER_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adbd.kept_port()))
    key = keys.ensure_key(keys.key_path())
    adbd.KEYS.parent.mkdir(parents=True, exist_ok=True)
    adbd.ROOT.mkdir(parents=True, exist_ok=True)
    adbd.KEYS.write_text(key.with_name("adbkey.pub").read_text() + "\n")
    return tmp_path


@pytest.fixture
def start(home):
    """Starts phones and servers, and ends them."""
    started = []

    def begin(process):
        started.append(process)
        return process.start()

    yield begin
    for process in reversed(started):
        process.stop()


@pytest.fixture(params=WAYS)
def way(request, start):
    if request.param == "server":
        start(adbd.adb_server(int(os.environ["ANDROID_ADB_SERVER_PORT"])))
    return request.param


@pytest.fixture
def phone(way, start, home):
    return start(adbd.Phone(PROGRAM, home))


def device(phone, **settings):
    return AndroidDevice(find(phone.serial).transport(), **settings)


def test_a_named_network_end_to_end(phone, way):
    command = [sys.executable, "-c", "from nas.commands.latency import main; main()", "mnasnet-small"]
    command += ["--resolution", "64", "--device", phone.serial, "--blocks", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    assert found["runtime"] == "onnxruntime"
    assert found["count"] >= 50
    assert found["blocks"] == 2
    assert 0 < found["p5_ms"] <= found["latency_ms"] <= found["p95_ms"]
    assert found["device"] == phone.serial
    assert found["reference"] == "mnasnet-a1"
    assert found["peak_memory_mb"] > 10
    assert adbd.left_behind() == []


def test_shell_status_output_and_quoting(phone, way):
    transport = find(phone.serial).transport()
    done = transport.run("echo out; echo err >&2; exit 7", 10)
    assert done.code == 7
    assert ("out" in done.out, "err" in done.out + done.err) == (True, True)
    assert transport.run("printf 'no line break'", 10).out == "no line break"
    assert transport.run("true", 10).code == 0
    content = os.urandom(300_000)
    path = "/data/local/tmp/nas-a b'$(touch nas-evil);.bin"
    try:
        transport.push(content, path, 0o755, 10)
        assert Path(path).read_bytes() == content
        assert Path(path).stat().st_mode & 0o111 == 0o111
        assert not list(adbd.ROOT.glob("nas-evil"))
    finally:
        Path(path).unlink(missing_ok=True)
    with pytest.raises(RunError, match="no/such"):
        transport.push(b"x", "/proc/no/such/file", 0o644, 10)
    assert transport.run("echo still there", 10).out.strip() == "still there"
    with pytest.raises(TimedOut):
        transport.run("sleep 30", 0.5)
    assert transport.run("echo again", 10).out.strip() == "again"
    transport.close()


def test_a_small_round_trip_is_quick(phone, way):
    transport = find(phone.serial).transport()
    transport.run("true", 10)
    start = time.monotonic()
    for _ in range(10):
        transport.run("true", 10)
    assert time.monotonic() - start < 10 * 0.2
    transport.close()


def test_a_refused_key_is_explained(phone, way, home, monkeypatch):
    monkeypatch.setattr("latency.adb.direct.AUTH_SECONDS", 1.0)  # nobody is there to allow it
    adbd.KEYS.write_text("")
    with pytest.raises(InputError, match=r"unauthorised.*allow USB debugging"):
        find(phone.serial)


def test_keys_are_made_for_their_owner_alone(home, tmp_path):
    path = keys.ensure_key(tmp_path / "fresh" / "adbkey")
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert keys.ensure_key(path).read_bytes() == before


def test_a_second_phone_makes_a_name_ambiguous(start, home):
    start(adbd.adb_server(int(os.environ["ANDROID_ADB_SERVER_PORT"])))
    tools = {
        "getprop": 'case "$1" in ro.product.model) echo "Pixel 4";; ro.product.device) echo flame;; esac'
    }
    first = start(adbd.Phone(PROGRAM, home, tools))
    find(first.serial)
    assert find("pixel").serial == first.serial
    assert find("FLAME").serial == first.serial
    second = start(adbd.Phone(PROGRAM, home, tools))
    find(second.serial)
    with pytest.raises(
        InputError, match=f"2 phones.*{first.serial}.*{second.serial}|2 phones.*{second.serial}"
    ):
        find("pixel")
    assert {a.serial for a in attached()} == {first.serial, second.serial}


def test_nothing_answers(home):
    with pytest.raises(InputError, match="offline"):
        find(f"127.0.0.1:{adbd.free_port()}")


def test_no_room_on_the_device(way, start, home):
    phone = start(adbd.Phone(PROGRAM, home, small=True))
    with pytest.raises(RunError, match=r"could not be pushed.*No space left"):
        device(phone).measure(model_of(TINY), QUICK)
    done = find(phone.serial).transport().run("ls /data/local/tmp", 10)
    assert done.out.strip() == ""


def compiled(folder, body):
    """A program for this machine under the runner's name, with some library beside it."""
    folder.mkdir()
    source = folder / "x.c"
    source.write_text(
        f"#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main(void){{{body}}}"
    )
    subprocess.run([shutil.which("cc"), source, "-o", folder / "nas-runner"], check=True)
    shutil.copy(folder / "nas-runner", folder / "libonnxruntime.so")
    return folder / "nas-runner"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("abort();", r"status 134 \(signal 6\)"),
        ('fprintf(stderr, "no such model"); return 3;', "status 3: no such model"),
        (r'printf("\\x01\\xff 12 ms garbage {\"format\"\n"); return 0;', "no result"),
        ("return 0;", "no result"),
        (
            r'printf("{\"format\":1,\"version\":\"1\",\"init_ns\":1,\"warmup_ns\":[],\"times_ns\":[0],'
            r'\"peak_memory_kb\":1}"); return 0;',
            "time in ns is 0",
        ),
        ('for (;;) printf("garbage garbage garbage garbage\\n");', "over 8 MiB|in time"),
        ("for (;;) sleep(1);", "in time"),
    ],
    ids=["crashes", "fails", "garbage", "nothing", "zero", "endless", "hangs"],
)
def test_a_bad_runner_is_an_error_and_leaves_nothing(phone, way, home, body, said):
    runner = compiled(home / "bad", body)
    where = device(phone, runner=runner, run_seconds=3.0)
    with pytest.raises(RunError, match=said):
        where.measure(model_of(TINY), QUICK)
    assert adbd.left_behind() == []
    left = subprocess.run(["pgrep", "-f", "^./nas-runner ./libonnxruntime"], capture_output=True, check=False)
    assert left.stdout == b""


def test_the_wrong_abi_is_refused_before_anything_is_pushed(phone, way, home):
    runner = compiled(home / "arm", "return 0;")
    content = bytearray(runner.read_bytes())
    content[18:20] = (183).to_bytes(2, "little")
    runner.write_bytes(content)
    with pytest.raises(InputError, match="built for linux-aarch64, but the device is linux-x86_64"):
        device(phone, runner=runner).measure(model_of(TINY), QUICK)
    assert adbd.left_behind() == []


def test_what_is_missing_is_named(phone, way, tmp_path, monkeypatch):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"cannot run \.tflite files \(it runs \.onnx only\).*benchmark_model"
    ):
        device(phone).measure(model_of(path), QUICK)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match=r"nas-latency build-runner.*benchmark_model"):
        device(phone).measure(model_of(TINY), QUICK)


def disturb(when, act):
    """Run `act` in the background as soon as `when` holds."""

    def wait():
        adbd.wait_for(when, "the moment to disturb")
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def pushing():
    """A push has begun and the runner has not."""
    return any(list(folder.glob("libonnxruntime.so")) for folder in adbd.ROOT.glob("nas-*"))


def running():
    return any((folder / "pid").exists() for folder in adbd.ROOT.glob("nas-*"))


@pytest.mark.parametrize("moment", [pushing, running], ids=["mid-push", "mid-run"])
def test_a_killed_server_is_told_and_its_return_goes_on(start, home, moment):
    server = start(adbd.adb_server(int(os.environ["ANDROID_ADB_SERVER_PORT"])))
    phone = start(adbd.Phone(PROGRAM, home))
    long = Settings(blocks=1, min_runs=20, min_seconds=2.0, reference=False)
    impatient = device(phone, device_timeout=0.0)
    thread = disturb(moment, server.stop)
    with pytest.raises(RunError, match="did not come back within 0 s"):
        impatient.measure(model_of(TINY), long)
    thread.join()
    server.start()
    patient = device(phone, device_timeout=30.0)
    thread = disturb(moment, lambda: (server.stop(), time.sleep(1.5), server.start()))
    assert patient.measure(model_of(TINY), long).count >= 20
    thread.join()
    # What the impatient one left is all that is there; it had no way to remove it.
    assert len(adbd.left_behind()) <= 1
    for name in adbd.left_behind():
        shutil.rmtree(adbd.ROOT / name)


def test_a_phone_that_vanishes_mid_run_comes_back_directly(start, home):
    phone = start(adbd.Phone(PROGRAM, home))
    long = Settings(blocks=1, min_runs=20, min_seconds=2.0, reference=False)
    patient = device(phone, device_timeout=30.0)
    thread = disturb(running, lambda: (phone.stop(), time.sleep(1.0), phone.start()))
    assert patient.measure(model_of(TINY), long).count >= 20
    thread.join()
    assert adbd.left_behind() == []


def test_two_phones_are_a_pool(start, home):
    phones = [start(adbd.Phone(PROGRAM, home)) for _ in range(2)]
    name = ",".join(phone.serial for phone in phones)
    pool = resolve(name)
    archs = [TINY, zoo.load("mnasnet-small").for_input(64)]
    with pool.opened():
        level = pool.share(archs[:1], 1)
        assert len(level.scales) == 2
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(lambda arch: pool.measure(model_of(arch), QUICK), archs))
    assert {m.conditions["serial"] for m in found} == {phone.serial for phone in phones}
    for m in found:
        about = m.conditions["pool"]
        assert m.latency_ms == pytest.approx(about["as_measured_ms"] / level.scales[about["member"]])
    assert adbd.left_behind() == []
    with pytest.raises(InputError, match="names a phone twice"):
        resolve(f"{phones[0].serial},{phones[0].serial}")


PHONE_TOOLS = {
    "getprop": 'case "$1" in ro.product.model) echo "Pixel 4";; ro.product.device) echo flame;; '
    "ro.build.version.release) echo 12;; ro.soc.model) echo SM8150;; *) echo;; esac",
    "dumpsys": 'case "$1" in thermalservice) cat "$(dirname "$0")/thermal";; '
    'battery) printf "  temperature: 316\\n";; esac',
    "cmd": 'echo "$@" >> "$(dirname "$0")/calls"',
    "grep": 'n=0; for khz in 1785600 2841600; do for f in "$@"; do :; done; '
    'echo "/sys/devices/system/cpu/cpu$n/cpufreq/${f##*/}:$khz"; n=$((n+1)); done',
}
THERMAL = (
    "Thermal Status: {}\nCurrent temperatures from HAL:\n"
    "\tTemperature{{mValue=38.5, mType=3, mName=SKIN, mStatus=0}}\n"
)


def test_a_phones_conditions_are_recorded_and_judged(way, start, home):
    phone = start(adbd.Phone(PROGRAM, home, PHONE_TOOLS))
    (home / "bin" / "thermal").write_text(THERMAL.format(0))
    found = device(phone).measure(model_of(TINY), QUICK)
    conditions = found.conditions
    assert conditions["ro.product.model"] == "Pixel 4"
    assert conditions["cores"] == [1]
    assert conditions["fixed_performance"] is True
    assert conditions["battery_c"] == [31.6, 31.6]
    assert conditions["temperatures_c"] == {"SKIN": 38.5}
    assert conditions["frequencies_khz"][1] == {"0": 1785600, "1": 2841600}
    assert not [r for r in found.reasons if "thermal" in r]
    assert found.cpu == "SM8150"
    (home / "bin" / "thermal").write_text(THERMAL.format(3))
    hot = device(phone).measure(model_of(TINY), QUICK)
    assert not hot.valid
    assert any("thermal status is 3 (severe)" in r for r in hot.reasons)
    runner = compiled(home / "bad", "abort();")
    with pytest.raises(RunError):
        device(phone, runner=runner).measure(model_of(TINY), QUICK)
    calls = (home / "bin" / "calls").read_text().split("\n")[:-1]
    assert calls == ["power set-fixed-performance-mode-enabled " + v for v in ("true", "false") * 3]


def test_several_measurements_share_what_was_pushed(phone, way):
    where = device(phone)
    with where.opened():
        where.measure(model_of(TINY), QUICK)
        (folder,) = adbd.left_behind()
        inode = (adbd.ROOT / folder / "libonnxruntime.so").stat().st_mtime_ns
        where.measure(model_of(TINY), QUICK)
        assert adbd.left_behind() == [folder]
        assert (adbd.ROOT / folder / "libonnxruntime.so").stat().st_mtime_ns == inode
    assert adbd.left_behind() == []


def test_a_benchmark_model_on_the_device_is_used(way, start, home, tmp_path):
    phone = start(adbd.Phone(PROGRAM, home))
    script = adbd.ROOT / "benchmark_model"
    lines = "\\n".join(
        [
            "INFO: count=5 first=49060 curr=33682 min=32825 max=49060 avg=34825.1 std=3930",
            "INFO: count=60 first=3289 curr=3397 min=3264 max=3400 avg=3320.9 std=45 "
            "p5=3270 median=3318 p95=3390",
            "INFO: Inference timings in us: Init: 855, Inference (avg): 3320.9",
        ]
    )
    script.write_text(f'#!/bin/sh\necho "$@" >> "$0.calls"; printf "{lines}\\n"\n')
    try:
        found = device(phone).measure(model_of(TINY), QUICK)
        calls = Path(f"{script}.calls").read_text()
    finally:
        script.unlink()
        Path(f"{script}.calls").unlink(missing_ok=True)
    assert (found.runtime, found.latency_ms, found.count) == ("litert", 3.318, 60)
    assert "--num_threads=1" in calls
    assert "--graph=/data/local/tmp/nas-" in calls
    assert adbd.left_behind() == []


def test_the_op_profile_of_a_device(way, start, home):
    from test_op_profile import OLD

    phone = start(adbd.Phone(PROGRAM, home))
    script = adbd.ROOT / "benchmark_model"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{OLD}\nEND\n")
    try:
        found = device(phone).profile(model_of(TINY))
    finally:
        script.unlink()
    assert [n.operation for n in found] == ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
    assert adbd.left_behind() == []
