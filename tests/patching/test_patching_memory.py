"""The bound on activations where the caller gives none."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from toulmin.patching import default_bytes

GIB = 1024**3


@pytest.mark.skipif("SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}), reason="the memory cannot be asked for")
def test_a_quarter_of_the_memory_and_at_most_two_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert default_bytes(torch.device("cpu")) == min(2 * GIB, whole // 4)
    sizes = {"SC_PHYS_PAGES": GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    assert default_bytes(torch.device("cpu")) == GIB // 4
    monkeypatch.setattr(os, "sysconf_names", {})
    assert default_bytes(torch.device("cpu")) == 2 * GIB


def test_half_of_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """No card is at hand in tests: what torch would say of one is given."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * GIB))
    assert default_bytes(torch.device("cuda", 0)) == 40 * GIB
