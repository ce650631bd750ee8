"""Where a study is, as the user names it."""

from __future__ import annotations

import os

import pytest

from candidates import InputError
from nas.storage import server_place


@pytest.mark.parametrize(
    "address", ["postgresql://me:geheim@db/nas", "postgresql://me@db/nas?password=geheim&connect_timeout=3"]
)
def test_a_password_is_used_and_written_nowhere(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "other")
    place = server_place(address, "mobile")
    assert "geheim" not in f"{place} {place.url}"
    assert place.url.startswith("postgresql+psycopg://me@db/nas")
    assert ("connect_timeout" in place.url) == ("connect_timeout" in address)
    assert os.environ["PGPASSWORD"] == "geheim"


@pytest.mark.parametrize("address", ["postgresq//me:geheim@db/nas", "mysql://me:geheim@db/nas", "me:geheim@"])
def test_an_address_that_is_none_is_shown_without_its_password(address: str) -> None:
    with pytest.raises(InputError, match="expected postgresql://USER@HOST/DATABASE or journal:FILE") as error:
        server_place(address, "mobile")
    assert "geheim" not in str(error.value)
