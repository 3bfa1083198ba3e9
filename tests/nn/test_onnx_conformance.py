"""ONNX's own test cases of the operators RNN, LSTM and GRU, run against the cells of charrnn.

The package `onnx` brings weights, inputs and outputs of each case (`onnx.backend.test`). Sequences
that are read backwards are reversed here, and of two directions each has a cell of its own.
"""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import helper

from charrnn.export.expressible import GATES
from charrnn.export.onnx_model import ONNX_GATES, OPERATORS
from charrnn.export.pytorch_weights import split_gates
from charrnn.nn.cells import CELLS
from charrnn.types import Array

INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
CELL_OF = {operator: cell for cell, operator in OPERATORS.items()}


class Case(NamedTuple):
    """A case of ONNX: one node, its inputs and its expected outputs by name."""

    name: str
    cell: str
    attributes: dict[str, Any]
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def collected() -> list[Case]:
    """Return the cases of the three operators; importing their modules makes them."""
    for operator in ("lstm", "gru", "rnn"):
        import_module(f"onnx.backend.test.case.node.{operator}")
    found = []
    for case in import_module("onnx.backend.test.case.node")._NodeTestCases:
        node = case.model.graph.node[0]
        if node.op_type not in CELL_OF:
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        [(inputs, outputs)] = case.data_sets
        found.append(
            Case(
                case.name,
                CELL_OF[node.op_type],
                attributes,
                dict(zip(filter(None, node.input), inputs, strict=True)),
                dict(zip(filter(None, node.output), outputs, strict=True)),
            )
        )
    return found


CASES = collected()


def why_not(case: Case) -> str | None:
    """Return why the cells of charrnn do not compute a case, or None."""
    X, W, R = (case.inputs[name] for name in ("X", "W", "R"))
    T = X.shape[case.attributes.get("layout", 0)]
    if "P" in case.inputs:
        return "the LSTM of charrnn has no peepholes"
    if case.cell == "gru" and not case.attributes.get("linear_before_reset", 0):
        # (r ⊙ h) R = r ⊙ (h R) in the first step, where h is zero, and for units that are alike.
        alike = all(np.ptp(matrix) == 0 for matrix in (*W, *R)) and "B" not in case.inputs
        if T > 1 and not alike:
            return "the GRU of charrnn resets after the product"
    return None


def run_cell(case: Case, direction: int) -> tuple[Array, dict[str, Array]]:
    """Return the outputs (T, B, H) of one direction, and its last states (B, H)."""
    order = [GATES[case.cell].index(gate) for gate in ONNX_GATES[case.cell]]
    G = len(order)
    X, W, R = (case.inputs[name] for name in ("X", "W", "R"))
    if case.attributes.get("layout", 0):
        X = X.swapaxes(0, 1)
    T, B, _ = X.shape
    H = R.shape[-1]
    first, second = case.inputs.get("B", np.zeros((2, 2 * G * H)))[direction].reshape(2, G, H)
    b_h = np.empty((G, H), np.float32)
    b_h[order] = first + second  # outside of the reset: the cases do not reset after the product
    weights = {
        "W_xh": split_gates(W[direction], order),
        "W_hh": split_gates(R[direction], order),
        "b_h": b_h,
        "b_n": np.zeros(H, np.float32),
    }
    layer = CELLS[case.cell](weights, None, T, B)
    for state in CELLS[case.cell].states:
        if f"initial_{state}" in case.inputs:
            layer.state_history[state][0] = case.inputs[f"initial_{state}"][direction]
    layer.project_inputs(np.ascontiguousarray(X[::-1] if reads_backwards(case, direction) else X))
    layer.forward()
    return layer.h[1:], {name: history[-1] for name, history in layer.state_history.items()}


def reads_backwards(case: Case, direction: int) -> bool:
    """Return whether this direction of a case is the reverse one."""
    name = case.attributes.get("direction", b"forward")
    return bool(name == b"reverse" or (name == b"bidirectional" and direction == 1))


@pytest.mark.parametrize("case", [c for c in CASES if not why_not(c)], ids=lambda c: c.name)
def test_a_cell_computes_what_onnx_expects(case: Case) -> None:
    directions = range(len(case.inputs["W"]))
    runs = [run_cell(case, direction) for direction in directions]
    h = [h[::-1] if reads_backwards(case, d) else h for d, (h, _) in enumerate(runs)]
    found = {"Y": np.stack(h, axis=1)}  # (T, directions, B, H)
    for state in CELLS[case.cell].states:
        found[f"Y_{state}"] = np.stack([last[state] for _, last in runs])  # (directions, B, H)
    if case.attributes.get("layout", 0):
        found["Y"] = found["Y"].transpose(2, 0, 1, 3)
        found |= {name: a.swapaxes(0, 1) for name, a in found.items() if name != "Y"}
    assert case.outputs
    for name, expected in case.outputs.items():
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-6, err_msg=name)


def test_the_cases_that_do_not_apply_are_known() -> None:
    assert {case.name: why_not(case) for case in CASES if why_not(case)} == {
        "test_lstm_with_peepholes": "the LSTM of charrnn has no peepholes",
        "test_gru_seq_length": "the GRU of charrnn resets after the product",
    }


def test_every_form_of_case_is_among_those_that_apply() -> None:
    applied = {case.name for case in CASES if not why_not(case)}
    assert len(applied) >= 10
    for cell in ("rnn", "lstm", "gru"):
        prefix = "simple_rnn" if cell == "rnn" else cell
        for form in ("defaults", "with_initial_bias", "batchwise"):
            assert f"test_{prefix}_{form}" in applied
