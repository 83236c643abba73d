"""No file of somebody's makes a reader end in anything but success or a SpadeError."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.fuzz.damage import damaged
from tests.fuzz.readers import READERS, survives

SECONDS = 10


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(name, tmp_path):
    reader = READERS[name]
    file = reader.seed(tmp_path)
    assert survives(reader, tmp_path, file, (tmp_path / file).read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_one_sentence(name):
    walk(name, SECONDS)


def walk(name: str, seconds: float, seed: int = 0) -> int:
    """Damage a reader's file for so many seconds; the number of files that were tried."""
    reader, count, until = READERS[name], 0, time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = reader.seed(folder)
        whole = (folder / file).read_bytes()

        @settings(
            max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        @given(st.data())
        def once(data):
            nonlocal count
            content = data.draw(damaged(whole))
            if time.monotonic() < until:  # what is drawn may not depend on the clock
                survives(reader, folder, file, content)
                count += 1

        rounds = itertools.count(seed * 1_000_000)
        while time.monotonic() < until:
            seeded(next(rounds))(once)()
    return count
