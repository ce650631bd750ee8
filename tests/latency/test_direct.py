"""Reaching a phone without a server: keys and what libusb raises, with no phone there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from candidates import RunError
from latency.adb import keys
from latency.adb.direct import DirectTransport
from latency.adb.transport import DeviceGone


def test_an_interrupted_key_generation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "android" / "adbkey"

    def interrupted(name: str) -> None:
        Path(name).write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("adb_shell.auth.keygen.keygen", interrupted)
        with pytest.raises(KeyboardInterrupt):
            keys.ensure_key(path)
    assert list(path.parent.iterdir()) == []
    path.with_name("adbkey.pub").write_text("of another key")  # and this does not stop us either
    keys.signer(keys.ensure_key(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.with_name("adbkey.pub").read_text() != "of another key"


@pytest.mark.parametrize(
    ("kind", "said"),
    [("USBErrorBusy", "in use by another program.*adb start-server"), ("USBErrorIO", "is gone")],
)
def test_what_libusb_raises_is_an_error_in_one_line(
    kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usb1 = pytest.importorskip(
        "usb1", reason="libusb is not on this machine", exc_type=(ImportError, OSError)
    )

    class Held:
        def streaming_shell(self, *arguments: Any, **more: Any) -> Any:
            raise getattr(usb1, kind)

        def close(self) -> None:
            raise usb1.USBErrorNoDevice

    transport = DirectTransport("99191FFAZ001AB")
    transport._device = Held()
    with pytest.raises(DeviceGone, match=said) as caught:
        transport.run("true", 1.0)
    assert isinstance(caught.value, RunError)
