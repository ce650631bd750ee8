"""The user's adb keys: those that adb itself uses, made where missing."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from candidates import RunError


def key_path() -> Path:
    """adb's private key: ~/.android/adbkey, or in $ANDROID_USER_HOME."""
    home = os.environ.get("ANDROID_USER_HOME")
    return (Path(home) if home else Path.home() / ".android") / "adbkey"


def ensure_key(path: Path) -> Path:
    """Make a 2048-bit RSA key pair at `path` where there is none, readable by its owner alone."""
    if path.exists():
        return path
    from adb_shell.auth.keygen import keygen

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # In a folder that only its owner enters, and moved when both are whole: adb itself uses these files too.
    with tempfile.TemporaryDirectory(prefix=".adbkey.", dir=path.parent) as folder:
        made = Path(folder) / path.name
        keygen(str(made))
        made.chmod(0o600)
        public = made.with_name(made.name + ".pub")
        public.replace(path.with_name(public.name))
        made.replace(path)
    return path


def signer(path: Path) -> Any:
    """What signs adb's challenges with the key at `path`."""
    from adb_shell.auth.sign_pythonrsa import PythonRSASigner

    public = path.with_name(path.name + ".pub")
    try:
        private_text = path.read_text()
        if not public.exists():
            from adb_shell.auth.keygen import write_public_keyfile

            write_public_keyfile(str(path), str(public))
        return PythonRSASigner(public.read_text(), private_text)
    except (OSError, ValueError) as error:
        raise RunError(f"the adb key {path} cannot be used: {error}") from None
