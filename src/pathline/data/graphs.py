"""`Graphs`: many graphs of different sizes laid end to end, as in jraph."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from pathline.data.checks import real_array, whole_array
from pathline.errors import InputError


class Graphs(eqx.Module):
    """Many graphs of different sizes, their nodes and edges laid end to end: meshes, molecules, particle systems.

    Arguments:
        nodes: `[node, node_feature]`, those of the first graph first.
        edges: `[edge, edge_feature]`, likewise; no features when absent.
        senders, receivers: `[edge]`, where each edge starts and ends, as an index into all `nodes`.
        n_node, n_edge: `[graph]`, how many nodes and edges each graph has; one graph when absent.
        targets: what is to be learned, `[graph, ...]` or `[node, ...]`; optional.
        title: of the whole, for people.

    Raises:
        InputError: the counts do not add up, an edge leads out of its graph, or a value is not finite.
    """

    nodes: Float[np.ndarray, "node node_feature"]
    edges: Float[np.ndarray, "edge edge_feature"]
    senders: Int[np.ndarray, " edge"]
    receivers: Int[np.ndarray, " edge"]
    n_node: Int[np.ndarray, " graph"]
    n_edge: Int[np.ndarray, " graph"]
    targets: Float[np.ndarray, "_ ..."] | None
    title: str = eqx.field(static=True)

    def __init__(
        self,
        nodes: Any,
        senders: Any,
        receivers: Any,
        *,
        edges: Any = None,
        n_node: Any = None,
        n_edge: Any = None,
        targets: Any = None,
        title: str = "graphs",
    ):
        self.nodes = real_array(nodes, "the features of the nodes", ("node", "feature"))
        self.senders = whole_array(senders, "the senders", ("edge",), below=len(self.nodes))
        self.receivers = whole_array(receivers, "the receivers", ("edge",), below=len(self.nodes))
        count = len(self.senders)
        if len(self.receivers) != count:
            raise InputError(
                f"There are {count} senders and {len(self.receivers)} receivers; each edge has one of each."
            )
        self.edges = np.zeros((count, 0)) if edges is None or not count else _features(edges, count)
        self.n_node = _sizes(n_node, "nodes", len(self.nodes))
        self.n_edge = _sizes(n_edge, "edges", count)
        if len(self.n_node) != len(self.n_edge):
            raise InputError(f"n_node counts {len(self.n_node)} graphs and n_edge {len(self.n_edge)}; make them agree.")
        node_graph, edge_graph = (np.repeat(np.arange(len(n)), n) for n in (self.n_node, self.n_edge))
        for ends, what in ((self.senders, "starts"), (self.receivers, "ends")):
            if np.any(wrong := node_graph[ends] != edge_graph):
                edge = int(np.argmax(wrong))
                raise InputError(
                    f"Edge {edge} of graph {edge_graph[edge]} {what} at node {ends[edge]}, which belongs to graph "
                    f"{node_graph[ends[edge]]}; senders and receivers count the nodes of all graphs."
                )
        self.targets = None if targets is None else real_array(targets, "the targets", ("graph or node", "..."))
        if self.targets is not None and len(self.targets) not in (len(self), len(self.nodes)):
            raise InputError(
                f"There are {len(self.targets)} targets for {len(self)} graphs with {len(self.nodes)} nodes; give one for "
                "each graph or each node."
            )
        self.title = title

    def __len__(self) -> int:
        """The number of graphs."""
        return len(self.n_node)


def _features(edges: Any, count: int) -> np.ndarray:
    found = real_array(edges, "the features of the edges", ("edge", "feature"))
    if len(found) != count:
        raise InputError(f"There are features for {len(found)} edges and {count} senders; give one row for each edge.")
    return found


def _sizes(given: Any, what: str, total: int) -> np.ndarray:
    sizes = whole_array([total] if given is None else given, f"the numbers of {what}", ("graph",))
    if sizes.sum() != total:
        raise InputError(f"The graphs are said to have {sizes.sum()} {what} together, and {total} are given.")
    return sizes
