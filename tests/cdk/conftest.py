"""Assemblies that several tests look at."""

from __future__ import annotations

import pytest

from tests.cdk.assemblies import SCAR, Assembly, synth


@pytest.fixture(scope="session")
def scar(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """A file with every key of SCAR's."""
    return synth(SCAR, tmp_path_factory.mktemp("scar"), name="scar", tags="team=physics")
