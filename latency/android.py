"""An Android phone (or any device with an ADB daemon) as a device."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from shlex import quote

from candidates import Architecture, InputError, Layered, RunError
from latency import conditions as sensors
from latency import op_profile
from latency.adb.transport import DeviceGone, Transport
from latency.adb.workspace import ROOT, SHORT_SECONDS, Workspace
from latency.device import StayedAway, alone
from latency.inputs import fixed_to_others, shapes_in
from latency.invocation import Invocation, checked, combine, run_benchmark_model, run_runner
from latency.measurement import Measurement
from latency.model import Model
from latency.profiling import NodeTime
from latency.recording import record
from latency.runners import BENCHMARK, Tool, check_target, find_tool, how_to_get
from latency.settings import Settings
from latency.summary import objections

REFERENCE = "mnasnet-a1"
PROPERTIES = (
    "ro.product.model", "ro.product.device", "ro.soc.model", "ro.build.version.release",
    "ro.product.cpu.abilist", "ro.build.fingerprint",
)  # fmt: skip
POLL_SECONDS = 1.0
MAX_RETURNS = 5


class AndroidDevice:
    """A device behind a Transport. Measuring brackets the model with runs of a reference model (A-B-A).

    `runner` is the user's own benchmark_model or nas-runner; `device_timeout` how many seconds to wait for
    a device that vanished; `run_seconds` the longest that one invocation may take.
    """

    def __init__(
        self,
        transport: Transport,
        name: str | None = None,
        runner: Path | None = None,
        device_timeout: float = 60.0,
        run_seconds: float = 180.0,
    ) -> None:
        self._transport = transport
        self.name = name or transport.serial
        self._runner = runner
        self._device_timeout = device_timeout
        self._run_seconds = run_seconds
        self._keep = False
        self._kept: Workspace | None = None
        self._stale: list[Workspace] = []

    @property
    def formats(self) -> tuple[str, ...]:
        """What the device can run, .tflite first; InputError says how to get a runner where it is nothing."""
        found = tuple(form for form in ("tflite", "onnx") if self._tools[form] is not None)
        if not found:
            raise InputError(
                f"nothing on {self.name} or here runs models on it; {how_to_get('onnx', self.targets)}, "
                f"or {how_to_get('tflite', self.targets)}"
            )
        return found

    @cached_property
    def properties(self) -> dict[str, str]:
        """System properties by name, and `machine` (uname's); empty texts where there are none."""
        command = "; ".join(f"getprop {name} 2>/dev/null || echo" for name in PROPERTIES)
        command += "; uname -m; [ -e /system/bin/linker64 -o -e /system/bin/linker ] && echo android"
        lines = self._transport.run(command, SHORT_SECONDS).out.splitlines() + [""] * len(PROPERTIES)
        values = {name: line.strip()[:200] for name, line in zip(PROPERTIES, lines, strict=False)}
        rest = [line.strip() for line in lines[len(PROPERTIES) :]] or [""]
        return {**values, "machine": rest[0], "system": "android" if "android" in rest else "linux"}

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """What programs may be built for, the preferred first; see latency.runners."""
        found = self.properties
        abis = [abi for abi in found["ro.product.cpu.abilist"].split(",") if abi]
        if found["system"] == "android" and abis:
            return tuple(f"android-{abi}" for abi in abis)
        return (f"{found['system']}-{found['machine']}",)

    @cached_property
    def _tools(self) -> dict[str, Tool | None]:
        remote = f"{ROOT}/{BENCHMARK}"
        there = self._transport.run(f"[ -f {remote} ] && chmod 755 {remote}", SHORT_SECONDS).code == 0
        return {
            form: find_tool(form, self.targets, self._runner, remote if there else None)
            for form in ("tflite", "onnx")
        }

    def fingerprint(self) -> str:
        found = self.properties
        parts = (self._transport.serial, *(found[name] for name in PROPERTIES), found["machine"])
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]

    def runtime(self, form: str) -> tuple[str, str]:
        tool = self._tool(form)
        name = "onnxruntime" if form == "onnx" else "litert"
        if tool.remote:
            done = self._transport.run(f"sha256sum {quote(tool.remote)}", SHORT_SECONDS)
            return name, f"sha256:{done.out.split()[0][:12] if done.out.split() else 'unknown'}"
        digests = (hashlib.sha256(path.read_bytes()).hexdigest() for _, path in tool.files)
        return name, f"sha256:{hashlib.sha256(''.join(digests).encode()).hexdigest()[:12]}"

    def _tool(self, form: str) -> Tool:
        tool = self._tools[form]
        if tool is None:
            other = [f for f in ("tflite", "onnx") if self._tools[f] is not None]
            has = f"it runs .{other[0]} only" if other else "it runs nothing yet"
            raise InputError(
                f"{self.name} cannot run .{form} files ({has}); {how_to_get(form, self.targets)}"
            )
        return tool

    def measure(self, model: Model, settings: Settings) -> Measurement:
        """As Device has it; a device that vanishes is waited for, and the measurement made again."""
        if settings.batch != 1:
            raise InputError(
                f"{self.name} runs one image at a time; --batch {settings.batch} is for cpu and cuda"
            )
        for _ in range(MAX_RETURNS):
            try:
                return self._measure(model, settings)
            except DeviceGone as error:
                self._wait(error)
        raise RunError(f"{self.name} vanished {MAX_RETURNS} times during one measurement; check its cable")

    def _wait(self, error: DeviceGone) -> None:
        deadline = time.monotonic() + self._device_timeout
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            try:
                self._transport.reconnect()
                return
            except RunError:
                continue
        raise StayedAway(
            f"{error}; it did not come back within {self._device_timeout:.0f} s (--device-timeout), "
            "check its cable and its adb state"
        ) from None

    def operation_times(self, arch: Architecture, threads: int) -> Mapping[int, float] | None:
        return None

    def profile(self, model: Model, threads: int = 1) -> list[NodeTime]:
        """Where the time goes on this device, by LiteRT's op profile; .tflite only, apart from any timing."""
        tool = self._tool("tflite")
        content = model.content("tflite")
        programs = [(name, check_target(path, self.targets)) for name, path in tool.files]
        with alone(self._transport.serial), self._workspace() as workspace:
            for name, program in programs:
                workspace.put(name, program, 0o755)
            path = workspace.put("model.tflite", content)
            arguments = [
                tool.remote or f"./{BENCHMARK}",
                f"--graph={path}",
                f"--num_threads={threads}",
                *op_profile.FLAGS,
            ]
            done = checked(workspace.run(arguments, self._run_seconds))
        return op_profile.parse(f"{done.out}\n{done.err}")

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep the folder and the runner on the device for several measurements; removed at the end."""
        self._keep = True
        try:
            yield
        finally:
            self._keep = False
            kept, self._kept = self._kept, None
            self._stale += [kept] if kept is not None else []
            self._sweep()

    @contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        self._sweep()
        workspace, self._kept = self._kept or Workspace(self._transport), None
        self._stale.append(workspace)  # until it is known to be kept or removed
        if not workspace.folder:
            workspace.open()
        try:
            yield workspace
        except BaseException:
            self._sweep()
            raise
        if self._keep:
            self._stale.remove(workspace)
            self._kept = workspace
        else:
            self._sweep()

    def _sweep(self) -> None:
        """Remove the folders of before, those too that a vanished device would not let us remove."""
        self._stale = [workspace for workspace in self._stale if not workspace.close()]

    def _measure(self, model: Model, settings: Settings) -> Measurement:
        form = model.form_on(self.formats)
        tool = self._tool(form)
        content = model.content(form)
        if model.path is not None:
            images = fixed_to_others(shapes_in(content, form), settings.batch)
            if images is not None:
                raise InputError(
                    f"{model.name}: its input is for {images} image(s), and {self.name} runs one at a time; "
                    "write it for one image, or for any number"
                )
        programs = [(name, check_target(path, self.targets)) for name, path in tool.files]
        with ExitStack() as stack:
            stack.enter_context(alone(self._transport.serial))
            start = time.monotonic()
            workspace = stack.enter_context(self._workspace())
            for name, program in programs:
                workspace.put(name, program, 0o755)
            fixed = stack.enter_context(self._fixed_performance())
            before = self._conditions()
            cores = sensors.big_cores(before.max_khz, settings.threads)
            prefix = ["taskset", sensors.mask(cores)] if cores else []
            path = workspace.put(f"model.{form}", content)

            def invoke(file: str, short: Settings) -> Invocation:
                run = run_runner if form == "onnx" else run_benchmark_model
                program = tool.remote or f"./{tool.files[0][0]}"
                return run(workspace, program, file, short, prefix, self._run_seconds)

            reference = None
            one = replace(settings, blocks=1, min_seconds=min(settings.min_seconds, 0.3))
            if settings.reference:
                from candidates import zoo

                reference = workspace.put(f"reference.{form}", _reference(zoo.load(REFERENCE), form))
            references = [invoke(reference, one)] if reference else []
            share = replace(
                settings,
                min_runs=max(1, settings.min_runs // min(2, settings.blocks)),
                min_seconds=settings.min_seconds / min(2, settings.blocks),
            )
            found = [invoke(path, share) for _ in range(settings.blocks)]
            references += [invoke(reference, one)] if reference else []
            after = self._conditions()
            seconds = time.monotonic() - start
        summary = combine(found, references)
        reasons = objections(summary.cv, summary.drift, summary.count, settings.min_runs)
        reasons += sensors.objections(before, after) + [note for i in found for note in i.objections]
        properties = self.properties
        runtime = ("onnxruntime" if form == "onnx" else "litert", found[0].version or self.runtime(form)[1])
        return record(
            self,
            model,
            settings,
            summary,
            runtime,
            reasons,
            blocks=len(found),
            warmup=sum(i.warmup for i in found),
            reference=REFERENCE if references else None,
            load_ms=found[0].init_ms,
            peak_memory_mb=max((i.peak_memory_mb for i in found if i.peak_memory_mb), default=None),
            cpu=properties["ro.soc.model"] or properties["machine"],
            seconds=seconds,
            conditions={
                "serial": self._transport.serial,
                **{name: value for name, value in properties.items() if value},
                **sensors.as_dict(before, after),
                "cores": list(cores),
                "fixed_performance": fixed,
                "delegates": [list(pair) for pair in found[0].delegates],
                "in_runners_s": sum(i.wall_s for i in [*found, *references]),
            },
        )

    def _conditions(self) -> sensors.Conditions:
        return sensors.parse(self._transport.run(sensors.READ_ALL, SHORT_SECONDS).out)

    @contextmanager
    def _fixed_performance(self) -> Iterator[bool]:
        """Ask an Android 11 or later phone to hold its clocks; put back afterwards, also after a failure."""
        command = "cmd power set-fixed-performance-mode-enabled"
        asked = self._transport.run(f"{command} true 2>&1", SHORT_SECONDS)
        held = asked.code == 0 and "unknown" not in asked.out.lower()
        try:
            yield held
        finally:
            if held:
                with suppress(RunError):  # a vanished phone is told of elsewhere; a restart ends the mode
                    self._transport.run(f"{command} false", SHORT_SECONDS)


def _reference(arch: Layered, form: str) -> bytes:
    return Model(REFERENCE, architecture=arch).content(form)
