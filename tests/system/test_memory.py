"""Memory limit and peak memory, also on systems that report less than Linux."""

import os
import sys
from pathlib import Path

import pytest

from charrnn.system import memory
from charrnn.system.memory import PEAK_MEGABYTES, memory_limit, peak_megabytes

PAGES = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a control group's limit, which does not exist yet, on a machine of 4 MB."""
    path = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (tmp_path / "none", path))
    monkeypatch.setattr(os, "sysconf", PAGES.__getitem__)
    return path


@pytest.mark.usefixtures("cgroup")
def test_without_a_control_group_the_limit_is_the_machines() -> None:
    assert memory_limit() == 4_096_000


@pytest.mark.parametrize(
    ("content", "limit"),
    [
        (b"1000000\n", 1_000_000),
        (b"9000000\n", 4_096_000),
        (b"max\n", 4_096_000),
        (b"\xff", 4_096_000),
    ],
)
def test_a_control_group_may_allow_less(cgroup: Path, content: bytes, limit: int) -> None:
    cgroup.write_bytes(content)
    assert memory_limit() == limit


@pytest.mark.usefixtures("cgroup")
@pytest.mark.parametrize("name", PAGES)
def test_a_system_that_does_not_know_its_size_has_no_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PAGES, name, -1)
    assert memory_limit() is None


def test_without_sysconf_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.delattr(os, "sysconf")
    assert memory_limit() is None


def test_the_peak_is_measured_in_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 10 < peak_megabytes() < 100_000


def test_macos_counts_bytes_and_linux_kilobytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    on_linux = peak_megabytes()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert peak_megabytes() == pytest.approx(on_linux / 1000, rel=0.1)


def test_without_the_module_resource_the_peak_is_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_megabytes() == PEAK_MEGABYTES
