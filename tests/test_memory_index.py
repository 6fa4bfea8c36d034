"""The index of a memory by faiss."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from commands import Terminal
from memories import made, quiet

from seq2seq_cli.errors import DamagedError, UserError
from seq2seq_cli.neighbours import index
from seq2seq_cli.neighbours.index import IndexSearch, lists_for, make_index, remove_index
from seq2seq_cli.neighbours.search import ExactSearch
from seq2seq_cli.neighbours.store import Store

CPU = torch.device("cpu")
needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed (pip install faiss-cpu)")


def store_of(directory: Path) -> Store:
    return made(directory, torch.randn(3000, 8, generator=torch.Generator().manual_seed(4)) + 3, [7] * 3000)


@needs_faiss
def test_nearly_all_neighbours_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And their distances are exact. In all lists, all are found."""
    record = make_index(store_of(tmp_path / "m"), quiet)
    store = Store.open(tmp_path / "m")
    assert store.record == record
    queries_NR = torch.from_numpy(store.keys[:100]) + 0.1
    exact = ExactSearch(store, CPU).nearest(queries_NR, 8)
    for probes, share in ((4, 0.5), (lists_for(3000), 0.99)):
        monkeypatch.setattr(index, "PROBES", probes)
        found = IndexSearch(store, CPU).nearest(queries_NR, 8)
        there_NK = (queries_NR[:, None] - torch.from_numpy(store.keys)[found.entries_NK]).square().sum(-1)
        torch.testing.assert_close(found.distances_NK, there_NK, rtol=1e-5, atol=1e-5)
        assert bool((found.distances_NK.diff(dim=1) >= 0).all())
        pairs = zip(found.entries_NK.tolist(), exact.entries_NK.tolist(), strict=True)
        assert sum(len(set(one) & set(other)) for one, other in pairs) > share * exact.entries_NK.numel()


@needs_faiss
def test_fewer_than_asked_for_are_infinitely_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_index(store_of(tmp_path / "m"), quiet)
    monkeypatch.setattr(index, "PROBES", 1)
    found = IndexSearch(Store.open(tmp_path / "m"), CPU).nearest(torch.zeros(2, 8), 900)
    assert found.entries_NK.shape == (2, 900)
    assert bool(found.distances_NK[:, -1].isinf().all())
    assert bool(found.distances_NK[:, 0].isfinite().all())


@needs_faiss
def test_it_is_made_removed_and_recognised(terminal: Terminal, tmp_path: Path) -> None:
    store = store_of(tmp_path / "m")
    path = store.files.index(3000)
    assert "entries 3,000, in 76 lists" in terminal.ok("memory", "index", tmp_path / "m").err
    assert path.exists()
    first = path.read_bytes()
    make_index(Store.open(tmp_path / "m"), quiet)
    assert path.read_bytes() == first
    path.write_bytes(first[:-1] + b"x")
    with pytest.raises(DamagedError, match="does not match its checksum"):
        IndexSearch(Store.open(tmp_path / "m"), CPU)
    path.unlink()
    with pytest.raises(DamagedError, match=r"is missing\.\nMake it anew: `seq2seq memory index`"):
        IndexSearch(Store.open(tmp_path / "m"), CPU)
    assert "no index" in terminal.ok("memory", "index", tmp_path / "m", "--remove").err
    assert Store.open(tmp_path / "m").record.index is None


def test_without_the_package_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "find_spec", lambda name: None)
    store = store_of(tmp_path / "m")
    for needs in (lambda: make_index(store, quiet), lambda: IndexSearch(store, CPU)):
        with pytest.raises(UserError, match="needs the package faiss-cpu, which is not installed") as caught:
            needs()
        assert "pip install faiss-cpu" in str(caught.value)
    assert remove_index(store).index is None


def test_how_many_lists() -> None:
    assert [lists_for(entries) for entries in (1, 100, 3900, 1_000_000)] == [1, 2, 100, 4000]
