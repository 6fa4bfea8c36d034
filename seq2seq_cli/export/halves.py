"""One graph in two: what depends on the source alone, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto


class Halves(NamedTuple):
    """``first`` computes, once, what ``second`` reads in every call beside its own inputs."""

    first: ModelProto
    second: ModelProto


Doors = dict[str, "ValueInfoProto"]


def halves(model: ModelProto, once: Sequence[str], first: Sequence[tuple[str, str]], prefix: str) -> Halves:
    """``model`` in two. What depends on nothing but the inputs ``once`` is in the first half; what of it the second half
    reads are its outputs, called ``prefix`` and a number. So are the outputs ``first`` of the whole, by their new names."""
    import onnx

    typed = onnx.shape_inference.infer_shapes(model).graph
    types = {it.name: it for it in (*typed.value_info, *typed.input, *typed.output)}
    early, late = set(once), {it.name for it in model.graph.input} - set(once)
    for node in model.graph.node:
        assert all(it.type != onnx.AttributeProto.GRAPH for it in node.attribute), (
            f"{node.op_type} has a graph of its own"
        )
        if late & set(node.input):
            late |= set(node.output)
        elif early & set(node.input):
            early |= set(node.output)
    begun = dict(first)
    inputs, outputs = ([it.name for it in some] for some in (model.graph.input, model.graph.output))
    outputs = [name for name in outputs if name not in begun]
    needed = _needed(model.graph, outputs, stop=early)
    read = {name for node in needed for name in node.input} | set(outputs)
    crossing = {name: f"{prefix}{number}" for number, name in enumerate(sorted(read & early))}

    def doors(names: Mapping[str, str]) -> Doors:
        return {name: _typed(types[name], new) for name, new in names.items()}

    kept = doors({name: name for name in inputs if name not in once})
    made = crossing | begun
    return Halves(
        _half(model, _needed(model.graph, made), doors({name: name for name in once}), doors(made)),
        _half(model, needed, kept | doors(crossing), doors({name: name for name in outputs})),
    )


def _needed(graph: GraphProto, outputs: Iterable[str], stop: Iterable[str] = ()) -> list[NodeProto]:
    """The nodes that ``outputs`` come from; nothing is needed for what is in ``stop``."""
    wanted, given = set(outputs), set(stop)
    chosen: list[NodeProto] = []
    for node in reversed(graph.node):
        if (wanted - given) & set(node.output):
            chosen.append(node)
            wanted |= set(node.input)
    return chosen[::-1]


def _half(model: ModelProto, nodes: list[NodeProto], entering: Doors, leaving: Doors) -> ModelProto:
    """A model of some of the nodes, with what enters and leaves it: the name within, and its type, by which name it does."""
    from onnx import helper

    arrivals = [helper.make_node("Identity", [it.name], [name]) for name, it in entering.items() if it.name != name]
    departures = [helper.make_node("Identity", [name], [it.name]) for name, it in leaving.items() if it.name != name]
    read = {name for node in (*nodes, *departures) for name in node.input}
    weights = [it for it in model.graph.initializer if it.name in read]
    graph = helper.make_graph(
        [*arrivals, *nodes, *departures], model.graph.name, [*entering.values()], [*leaving.values()], weights
    )
    half = helper.make_model(graph, opset_imports=model.opset_import, producer_name="seq2seq")
    half.ir_version = model.ir_version
    return half


def _typed(value: ValueInfoProto, name: str) -> ValueInfoProto:
    """The same type by another name."""
    import onnx

    copied = onnx.ValueInfoProto()
    copied.CopyFrom(value)
    copied.name = name
    return copied
