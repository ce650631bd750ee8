"""The two errors that a command prints as one line instead of a traceback."""


class InputError(ValueError):
    """Something the user gave is wrong: the message holds the value, what was expected and the remedy."""


class RunError(RuntimeError):
    """The input was right and the work failed all the same: a device vanished, a disk is full."""
