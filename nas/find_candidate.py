"""What CANDIDATE means in every command."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from candidates import zoo
from candidates.errors import InputError
from candidates.files import expanded
from nas.candidate import CANDIDATE, Candidate

BEST = "best.json"
_KNOWN = (BEST, CANDIDATE, "architecture.json")  # a run's, a finished training's or an export's, an export's


def find_candidate(text: str) -> Candidate:
    """The candidate that `text` names.

    A zoo name, an architecture's or candidate's JSON, a run folder (its best), or an exported or training
    folder (its architecture). A name of the zoo wins over a file of that name (`./name` is the file).
    """
    if text in zoo.names():
        return Candidate(zoo.load(text))
    path = expanded("candidate", text)
    if path.is_dir():
        for name in _KNOWN:
            if (path / name).is_file():
                return Candidate.load(path / name)
        raise InputError(
            f"{path} holds neither {BEST} (a run's) nor architecture.json (an export's or a training's)"
            + ("; the run has no finished trial yet" if (path / "run.json").exists() else "")
        )
    if path.is_file():
        return Candidate.load(path)
    near = get_close_matches(text, zoo.names(), n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"candidate {text!r} is neither a file nor a folder nor one of {', '.join(zoo.names())}{meant}"
    )


def find_weights(text: str) -> Path | None:
    """The trained weights that come with the candidate `text` names, or None.

    None too for the initial ones that an export of an untrained candidate has.
    InputError for a training that has not come to its end: what it has so far is in its checkpoints.
    """
    if text in zoo.names():
        return None
    folder = expanded("candidate", text)
    path = folder / "model.safetensors"
    if path.is_file():
        return None if is_untrained(folder) else path
    if (folder / "training.json").is_file():
        raise InputError(
            f"the training in {folder} has not finished; go on with: nas-train --resume {folder}"
        )
    return None


def is_untrained(folder: Path) -> bool:
    """Whether the folder is an export of initial weights."""
    return (folder / CANDIDATE).is_file() and Candidate.load(folder / CANDIDATE).untrained
