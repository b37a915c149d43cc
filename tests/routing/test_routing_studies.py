"""The studies: planted truth in their summaries, images read right, and that they resume."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.evidence import Items
from toulmin.faults import FaultError
from toulmin.routing.autoencoder import SplitAutoencoder, correlation_penalty, halves
from toulmin.routing.images import load_images, read_png
from toulmin.routing.router import Router
from toulmin.routing.studies.oversight import Oversight
from toulmin.routing.studies.partition import CONDITIONS, Partition
from toulmin.studies import Run, find_study, keep_piece


def test_a_piece_is_computed_once(tmp_path: Path) -> None:
    made: list[int] = []
    for _ in range(2):
        assert keep_piece(tmp_path, "one", lambda: made.append(1) or {"x": 0.1}) == {"x": 0.1}
    assert made == [1]


def test_the_digits_and_a_folder_of_mnist(tmp_path: Path, shared: Path) -> None:
    digits = load_images(Path(__file__).parents[2] / "src/toulmin/assets/digits-8x8")
    assert digits.train.shape == (1438, 64)
    assert sorted(np.unique(digits.test_digits)) == list(range(10))
    assert (digits.train.min(), digits.train.max()) == (-1.0, 1.0)
    mnist = load_images(shared / "data/mnist")
    assert (mnist.train.shape, mnist.test.shape) == ((60000, 784), (10000, 784))
    means = [np.stack([x[d == k].mean(0) for k in range(10)]) for x, d in
             ((mnist.train, mnist.train_digits), (mnist.test, mnist.test_digits))]  # fmt: skip
    distance = np.abs(means[0][:, None] - means[1][None]).mean(-1)
    assert distance.argmin(1).tolist() == list(range(10))  # labels go with images, in both files
    assert distance.diagonal().max() < 0.03
    with pytest.raises(FaultError, match="no images of digits"):
        load_images(tmp_path)


def test_every_filter_of_png(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7))
    lines = b""
    for y, kind in enumerate(range(5)):
        row, above = pixels[y], pixels[y - 1] if y else np.zeros(7, int)
        out = []
        for x in range(7):
            a, b, c = (int(row[x - 1]) if x else 0), int(above[x]), (int(above[x - 1]) if x else 0)
            guess = a + b - c
            paeth = min((a, b, c), key=lambda v: abs(guess - v))
            out.append((int(row[x]) - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        lines += bytes([kind, *out])

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = (7).to_bytes(4, "big") + (5).to_bytes(4, "big") + b"\x08\0\0\0\0"
    file = tmp_path / "a.png"
    file.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    )
    assert np.array_equal(read_png(file), pixels)
    file.write_bytes(gzip.compress(b"no"))
    with pytest.raises(ValueError, match="no PNG"):
        read_png(file)


def test_routing_at_the_encoding_is_the_detach_of_the_public_code() -> None:
    torch.manual_seed(0)
    model = SplitAutoencoder([10, 8, 4]).double()
    x, low = torch.randn(6, 10, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1, 0])
    encoding = model.encode(x)
    mine = (low == 0)[:, None]
    mask = torch.cat([mine.expand(-1, 2), ~mine.expand(-1, 2)], 1)
    (model.decoder(torch.where(mask, encoding, encoding.detach())) - x).abs().mean().backward()
    expected = [p.grad.clone() for p in model.encoder.parameters()]  # type: ignore[union-attr]
    model.zero_grad()
    with Router(model, halves(4))(labels=low):
        out = model.decode(model.encode(x))
    (out - x).abs().mean().backward()
    for a, p in zip(expected, model.encoder.parameters(), strict=True):
        assert p.grad is not None
        assert (a - p.grad).abs().max() < 1e-15
    z = torch.randn(50, 4, dtype=torch.float64)
    rho = np.corrcoef(z.numpy().T)[:2, 2:]
    assert float(correlation_penalty(z)) == pytest.approx(np.abs(rho).mean() * 49 / 50)


def planted(ratio: float) -> Items:
    columns: dict[str, np.ndarray] = {}
    for c in CONDITIONS:
        r = ratio if c == "routed" else 1.0
        noise = np.array([0.9, 1.0, 1.1])[:, None]
        low = np.array([1.0] * 5 + [r] * 5) * noise
        for suffix in ("", "_square"):
            columns |= {f"{c}/low{suffix}": low, f"{c}/high{suffix}": low[:, ::-1], f"{c}/decoder{suffix}": 0.5 * low}
    arrays = {f"pictures/{c}": np.zeros((4, 10, 64)) for c in CONDITIONS[:2]}
    return Items(["a", "b", "c"], columns, arrays=arrays)


def test_the_summary_of_partition_finds_the_planted_ratio() -> None:
    study = Partition.preset("demo")
    summary = study.summarise(planted(1.5))
    study.check_summary(summary)
    values = {name: m.value for name, m in summary.measures.items()}
    assert values["ratio"] == pytest.approx(1.5)
    assert values["ratio_unrouted"] == pytest.approx(1.0)
    assert values["gap"] == pytest.approx(0.5)
    assert (values["own"], values["other"]) == (pytest.approx(1.0), pytest.approx(1.5))


def test_the_summary_of_oversight_stops_the_naive_agent_by_what_it_may_see() -> None:
    study = Oversight(p=(0.1,), seeds=2, evaluations=3)
    true = np.array([[0.1, 0.5, 0.2], [0.3, 0.2, 0.4]])
    columns = {f"{m}@0.1/{n}": true for m in ("routed", "naive", "filtered", "oracle", "mixture", "random_labels")
               for n in ("true", "seen_return")}  # fmt: skip
    columns["naive@0.1/seen_return"] = np.array([[0.9, 0.1, 0.2], [0.1, 0.8, 0.2]])
    arrays = {"updates": np.array([1.0, 2.0, 3.0])} | {f"policy/{m}": np.zeros(25) for m in ("routed", "naive")}
    summary = study.summarise(Items(["a", "b"], columns, arrays=arrays))
    study.check_summary(summary)
    assert summary.measures["naive@0.1"].value == pytest.approx(0.3)
    assert summary.measures["naive_stopped@0.1"].value == pytest.approx((0.1 + 0.2) / 2)
    assert summary.measures["gap_naive_stopped@0.1"].value == pytest.approx(0.3 - 0.15)
    assert summary.tables[0].rows[0][5] == pytest.approx((0.5 + 0.4) / 2)


@pytest.mark.parametrize("kind", ["routing.partition", "routing.oversight"])
def test_tiny_studies_run_and_resume_to_the_same_items(kind: str, tmp_path: Path) -> None:
    study = find_study(kind).preset("tiny")
    if kind == "routing.partition":
        study = study.model_copy(update={"steps": 6, "hidden": (16, 8), "encoding": 4})
    first = study.collect(Run(tmp_path / "a"))
    kept = sorted((tmp_path / "a").glob("*.json"))
    kept[0].unlink()
    again = study.collect(Run(tmp_path / "a"))
    assert all(np.array_equal(first[name], again[name]) for name in first.columns)
    study.check_summary(study.summarise(first))
    other = study.collect(replace(Run(tmp_path / "b"), seed=1))
    assert any(not np.array_equal(first[name], other[name]) for name in first.columns)
    assert len(study.inputs()) == (kind == "routing.partition")
    cost = study.cost()
    assert cost is not None
    assert cost.seconds > 0
