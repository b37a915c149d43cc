"""The reader of KataGo's model files: round trips, what it refuses and where, and damaged bytes."""

from __future__ import annotations

import gzip
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_nets import make_network

from toulmin.faults import ExitCode, FaultError
from toulmin.go.nets import Norm, read_network, write_network


def same(a, b):
    if isinstance(a, np.ndarray):
        return (a == b).all()
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if is_dataclass(a):
        return all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name not in {"sha256", "bias_name"}
        )
    return a == b


def refuse(data):
    with pytest.raises(FaultError) as raised:
        read_network(data)
    assert raised.value.exit_code in {ExitCode.SUBJECT, ExitCode.LIMIT}
    return raised.value.faults[0]


@pytest.mark.parametrize(
    ("version", "transformer"),
    [*((version, "") for version in range(8, 18)), *((15, kind) for kind in ("learnt", "fixed", "none", "spatial"))],
)
@pytest.mark.parametrize("binary", [True, False])
def test_a_written_network_reads_the_same(version, transformer, binary):
    network = make_network(version, seed=version, transformer=transformer)
    data = write_network(network, binary=binary)
    again = read_network(data)
    assert same(network, again)
    assert write_network(again, binary=binary) == data
    assert len(again.sha256) == 64


def test_a_file_cut_anywhere_names_the_layer_it_ends_in():
    data = write_network(make_network(11), compress=False)
    expected = {b"conv1\n": "conv1", b"b2/wp": "b2/wp", b"b3/x1/w2": "b3/x1/w2", b"g1norm": "g1norm", b"sv3\n": "sv3"}
    for mark, name in expected.items():
        block = data.index(b"@BIN@", data.index(mark))
        fault = refuse(data[: block + 9])
        assert fault.name == name
        assert "the file ends within" in fault.message
        cut = gzip.compress(data)
        assert fault.message.count("byte") == 1
        assert len(cut) > 100
    for at in range(0, len(data) - 2, 211):
        fault = refuse(data[:at])
        assert fault.code in {"go.net", "go.net-unsupported"}
    whole = gzip.compress(data)
    fault = refuse(whole[: len(whole) // 2])
    assert "cut short" in fault.message
    assert fault.name not in {"header", "end"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"small-v8\n8\n", b"small-v8\n18\n", "version 18 is not supported"),
        (b"small-v8\n8\n", b"small-v8\n3\n", "version 3 is not supported"),
        (b"small-v8\n8\n22\n", b"small-v8\n8\n23\n", "23 input planes"),
        (b"ordinary_block\n", b"dilated_block\n", "'dilated_block'"),
        (b"gpool_block\n", b"transformer_other_block\n", "'transformer_other_block'"),
        (b"b1/n1\n6\n", b"b1/n1\n7\n", "7 channels where the layers before have 6"),
        (b"b1/w1\n3\n3\n", b"b1/w1\n2\n3\n", "not odd"),
        (b"b1/w1\n3\n3\n", b"b1/w1\n3\n1e3\n", "not a whole number"),
        (b"b1/w1\n3\n3\n6\n5\n", b"b1/w1\n3\n3\n6\n65000\n", "the file ends within"),
        (b"b1/w1\n3\n3\n6\n5\n", b"b1/w1\n3\n3\n6\n99999999\n", "not between"),
        (b"0.001", b"-0.001", "not positive"),
        (b"0.001", b"nan", "not a finite number"),
    ],
)
def test_what_is_malformed_is_refused_by_name(old, new, words):
    data = write_network(make_network(8), compress=False)
    assert old in data
    fault = refuse(data.replace(old, new, 1))
    assert words in fault.message
    assert "layer" in fault.message


def test_later_options_are_refused():
    data = write_network(make_network(15), compress=False)
    assert "metadata" in refuse(data.replace(b"30.0\n0\n0\n", b"30.0\n1\n0\n", 1)).message
    assert "option" in refuse(data.replace(b"30.0\n0\n0\n0\n", b"30.0\n0\n0\n7\n", 1)).message
    assert "kind of norm" in refuse(data.replace(b"5\n5\n0\n3\n0\n", b"5\n5\n0\n3\n2\n", 1)).message
    mish = write_network(make_network(11), compress=False)
    fault = refuse(mish.replace(b"ACTIVATION_MISH", b"ACTIVATION_TANH", 1))
    assert fault.code == "go.net-unsupported"
    assert "ACTIVATION_TANH" in fault.message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"b5\n4\n2\n", b"b5\n4\n3\n", "4 heads cannot share the keys of 3 groups"),
        (b"b5\n4\n2\n4\n3\n", b"b5\n4\n2\n5\n3\n", "pairs of channels"),
        (b"b5\n4\n2\n4\n3\n", b"b5\n2\n2\n4\n3\n", "16 outputs where the layers before have 8"),
        (b"b5/rope\n2\n2\n", b"b5/rope\n2\n3\n", "3 pairs"),
        (b"b5f\n6\n5\n1\n", b"b5f\n6\n5\n0\n", "without a gate"),
        (b"tip\n6\n1e-06\n0\n0\n", b"tip\n6\n1e-06\n0\n2\n", "groups of channels"),
        (b"tip\n6\n1e-06\n", b"tip\n6\n1.5\n", "not between 0 and 1"),
    ],
)
def test_malformed_transformer_layers_are_refused(old, new, words):
    data = write_network(make_network(15, transformer="learnt"), compress=False)
    assert old in data
    assert words in refuse(data.replace(old, new, 1)).message


def test_values_that_are_not_finite_and_leftovers_are_refused():
    network = make_network(8)
    network.trunk.conv.weights[0, 0, 0, 0] = np.nan
    assert "NaN" in refuse(write_network(network)).message
    assert "more after" in refuse(gzip.compress(write_network(make_network(8), compress=False) + b"more")).message
    variance = make_network(8)
    assert isinstance(variance.trunk.norm, Norm)
    variance.trunk.norm.variance[1] = -1
    assert refuse(write_network(variance)).name == "tip"


def test_files_that_are_no_network(tmp_path):
    assert refuse(b"").name == "header"
    assert refuse(b"\x1f\x8b").code == "go.net"
    assert refuse(b"PK\x03\x04 a zip").code.startswith("go.net")
    assert refuse(gzip.compress(b"")).name == "header"
    with pytest.raises(FaultError) as raised:
        read_network(tmp_path / "none.bin.gz")
    assert str(raised.value.faults[0].file).endswith("none.bin.gz")
    assert raised.value.exit_code == ExitCode.SUBJECT


WHOLE = {
    (v, b): write_network(make_network(v), binary=b, compress=False) for v, b in [(8, True), (15, True), (12, False)]
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2**32), st.booleans())
def test_damaged_files_are_read_or_refused(which, seed, packed):
    """Flips, cuts, repeats and swaps of bytes: a network or a clear fault, never anything else."""
    rng = np.random.default_rng(seed)
    data = bytearray(WHOLE[which])
    if packed:
        data = bytearray(gzip.compress(bytes(data), compresslevel=1))
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(data)))
        kind = rng.integers(4)
        if kind == 0:
            data[at] = rng.integers(256)
        elif kind == 1:
            del data[at : at + int(rng.integers(1, 40))]
        elif kind == 2:
            data[at:at] = data[int(rng.integers(len(data))) :][: int(rng.integers(1, 40))]
        else:
            data[at : at + 3] = b" 9\n"
    problems = []
    try:
        version = read_network(bytes(data)).version
    except FaultError as error:
        version, problems = 8, [error]
    assert version in range(8, 18)
    assert all(e.faults[0].message and e.exit_code in {ExitCode.SUBJECT, ExitCode.LIMIT} for e in problems)
