"""nas-search --status: how a study stands."""

from __future__ import annotations

from pathlib import Path


def say_status(storage: str | None, name: str, resume: Path | None, as_json: bool) -> int:
    """Print the status of the study on a server or in a journal, or of a run; return the exit status."""
    import json

    from candidates.errors import InputError
    from nas.joining import joined_settings
    from nas.run_folder import open_run
    from nas.status import status_of, words
    from nas.storage import place_at
    from nas.study import close, open_study

    if (storage is None) == (resume is None):
        raise InputError("--status needs --storage URL (with --study NAME) or --resume RUN, and not both")
    if resume is not None:
        folder = open_run(resume)
        study = open_study(folder.database, None, folder.settings.objective, create=False)
        settings = folder.settings
    else:
        study = open_study(place_at(str(storage), name), None, "soft", create=False)
        settings = joined_settings(study)
    try:
        found = status_of(study, settings)
    finally:
        close(study)
    print(json.dumps(found, indent=2) if as_json else words(found))
    return 0
