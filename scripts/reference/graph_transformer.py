#!/usr/bin/env python3
"""Reference numbers of graph transformers beside those of the authors' code: options that their files leave out.

Writes test/golden/graph-transformer/more_*.safetensors: layers (both norms, no residual, biases with edge features) and
networks (maximum readout, edges all alike, layer norm, nodes with features), as the paper's code names their parameters.
Written anew from the paper's equations, computed in float64 and kept as float32.

Run:  python3 scripts/reference/graph_transformer.py
"""

from pathlib import Path

import numpy as np
import torch

from store import write_safetensors

FOLDER = Path(__file__).resolve().parents[2] / "test" / "golden" / "graph-transformer"
MOMENTUM, EPS = 0.1, 1e-5
torch.manual_seed(7)


def draw(*shape, scale=1.0):
    return (torch.randn(*shape, dtype=torch.float64) * scale).float().double()


class Net:
    """Parameters by the authors' names, drawn when first asked for; running statistics of batch norms."""

    def __init__(self):
        self.values, self.running, self.training = {}, {}, True

    def get(self, name, *shape, scale=0.4):
        if name not in self.values:
            value = draw(*shape, scale=scale)
            self.values[name] = (value + 1 if "norm" in name and name.endswith("weight") else value).requires_grad_()
        return self.values[name]

    def linear(self, name, x, out, bias=True):
        y = x @ self.get(f"{name}.weight", out, x.shape[-1]).T
        return y + self.get(f"{name}.bias", out) if bias else y

    def batch_norm(self, name, x):
        d = x.shape[1]
        mean, var = self.running.setdefault(name, (torch.zeros(d).double(), torch.ones(d).double()))
        if self.training:
            now, spread = x.mean(0), x.var(0, unbiased=False)
            unbiased = x.var(0, unbiased=True)
            self.running[name] = (
                ((1 - MOMENTUM) * mean + MOMENTUM * now).detach(),
                ((1 - MOMENTUM) * var + MOMENTUM * unbiased).detach(),
            )
            mean, var = now, spread
        scale, shift = self.get(f"{name}.weight", d), self.get(f"{name}.bias", d)
        return (x - mean) / (var + EPS).sqrt() * scale + shift

    def layer_norm(self, name, x):
        d = x.shape[1]
        centred = x - x.mean(1, keepdim=True)
        scale, shift = self.get(f"{name}.weight", d), self.get(f"{name}.bias", d)
        return centred / ((centred**2).mean(1, keepdim=True) + EPS).sqrt() * scale + shift

    def statistics(self):
        return {
            f"{name}.{key}": value
            for name, pair in self.running.items()
            for key, value in zip(("running_mean", "running_var"), pair)
        }


def stream(net, at, o, suffix, x, update, o_):
    """One residual stream of a layer. `o`: the name of the output projection."""
    ffn = f"FFN_{suffix}_" if suffix else "FFN_"
    end = f"_{suffix}" if suffix else ""
    d = x.shape[1]

    def norms(y, i):
        y = net.layer_norm(f"{at}layer_norm{i}{end}", y) if o_["layer_norm"] else y
        return net.batch_norm(f"{at}batch_norm{i}{end}", y) if o_["batch_norm"] else y

    keep = 1.0 if o_["residual"] else 0.0
    x = norms(keep * x + net.linear(at + o, update, d), 1)
    hidden = net.linear(f"{at}{ffn}layer1", x, 2 * d).relu()
    return norms(keep * x + net.linear(f"{at}{ffn}layer2", hidden, d), 2)


def layer(net, at, h, e, src, dst, o):
    """Gives h, e and the scores before the clip."""
    n, d = h.shape
    heads, bias = o["heads"], o["use_bias"]
    split = lambda x: x.reshape(len(x), heads, d // heads)
    q, k, v = (split(net.linear(f"{at}attention.{w}", h, d, bias)) for w in "QKV")
    t = k[src] * q[dst] / (d // heads) ** 0.5
    if e is not None:
        t = t * split(net.linear(f"{at}attention.proj_e", e, d, bias))
    score = t.sum(-1)
    w = score.clamp(-o["clamp"], o["clamp"]).exp()
    z = torch.zeros(n, heads).double().index_add(0, dst, w)
    out = torch.zeros(n, heads, d // heads).double().index_add(0, dst, w[..., None] * v[src])
    z = torch.where(z > 0, z, torch.ones_like(z)) if o["z_eps"] == 0 else z + o["z_eps"]
    attended = (out / z[..., None]).reshape(n, d)
    if e is None:
        return stream(net, at, "O", "", h, attended, o), None, score
    return stream(net, at, "O_h", "h", h, attended, o), stream(net, at, "O_e", "e", e, t.reshape(len(e), d), o), score


def edges_of(sizes, chance=0.45):
    """Undirected random graphs side by side, each node with a neighbour."""
    rng = np.random.default_rng(len(sizes) * 10 + sizes[0])
    src, dst, start = [], [], 0
    for n in sizes:
        pairs = {(i, i + 1) for i in range(n - 1)} | {(i, j) for i in range(n) for j in range(i) if rng.random() < chance}
        for i, j in sorted({tuple(sorted(p)) for p in pairs}):
            src += [start + i, start + j]
            dst += [start + j, start + i]
        start += n
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return torch.tensor(src), torch.tensor(dst), torch.tensor(owner)


def laplacian_positions(src, dst, owner, sizes, k):
    rows = []
    for g, n in enumerate(sizes):
        first = int((owner < g).sum())
        own = owner[src] == g
        a = np.zeros((n, n))
        np.add.at(a, ((dst[own] - first).numpy(), (src[own] - first).numpy()), 1)
        scale = np.diag(np.maximum(a.sum(1), 1) ** -0.5)
        _, vectors = np.linalg.eigh(np.eye(n) - scale @ a @ scale)
        rows.append(np.pad(vectors[:, 1 : k + 1], ((0, 0), (0, max(0, k + 1 - n)))))
    return torch.tensor(np.concatenate(rows)).float().double()


def write(name, tensors, metadata):
    arrays = {
        key: (value.detach().numpy().astype(np.int64 if not value.is_floating_point() else np.float32))
        for key, value in tensors.items()
    }
    write_safetensors(FOLDER / f"{name}.safetensors", arrays, {key: str(value) for key, value in metadata.items()})


def layer_case(name, sizes, d, edge, **options):
    o = dict(heads=2, use_bias=False, layer_norm=False, batch_norm=True, residual=True, clamp=5, z_eps=1e-6 if edge else 0)
    o.update(options)
    src, dst, owner = edges_of(sizes)
    n, m, net = sum(sizes), len(src), Net()
    found = {"src": src, "dst": dst, "graph_id": owner}
    initial = None
    for step in ("s1", "s2", "eval"):
        net.training = step != "eval"
        h = draw(n, d).requires_grad_()
        e = draw(m, d).requires_grad_() if edge else None
        y, y_e, score = layer(net, "", h, e, src, dst, o)
        if initial is None:
            initial = {f"p.{key}": value.detach().clone() for key, value in net.values.items()}
        found.update({f"{step}.h": h, f"{step}.y_h": y})
        if edge:
            found.update({f"{step}.e": e, f"{step}.y_e": y_e})
        if step == "eval":
            continue
        for value in net.values.values():
            value.grad = None
        w_h = draw(n, d)
        loss = (w_h * y).sum()
        found[f"{step}.w_h"] = w_h
        if edge:
            w_e = draw(m, d)
            loss = loss + (w_e * y_e).sum()
            found[f"{step}.w_e"] = w_e
        loss.backward()
        found[f"{step}.score"] = score
        found[f"{step}.grad_h"] = h.grad
        if edge:
            found[f"{step}.grad_e"] = e.grad
        found.update({f"{step}.grad.{key}": value.grad for key, value in net.values.items()})
        found.update({f"{step}.{key}": value for key, value in net.statistics().items()})
    meta = dict(dim=d, dropout=0, bn_eps=EPS, bn_momentum=MOMENTUM, ln_eps=EPS, graph_sizes=list(sizes))
    flags = {key: str(value).lower() if isinstance(value, bool) else value for key, value in o.items()}
    write(name, {**found, **initial}, {**meta, **flags})


def network_case(name, sizes, kind, edges, k, d=8, layers=2, readout="mean", features=0, **options):
    o = dict(heads=2, use_bias=False, layer_norm=False, batch_norm=True, residual=True, clamp=5, z_eps=1e-6 if edges else 0)
    o.update(options)
    src, dst, owner = edges_of(sizes)
    n, m, net = sum(sizes), len(src), Net()
    node = draw(n, features) if features else torch.randint(0, 5, (n,))
    edge = torch.randint(0, 3, (m,))
    pe = laplacian_positions(src, dst, owner, sizes, k)
    signs = torch.tensor([1.0 if i % 2 else -1.0 for i in range(k)]).double()
    classes = 3 if kind == "node" else 2
    target = torch.randint(0, classes, (n,)) if kind == "node" else draw(len(sizes), classes)

    def run(positions):
        h = net.linear("embedding_h", node, d) if features else net.get("embedding_h.weight", 5, d)[node]
        h = h + net.linear("embedding_lap_pos_enc", positions, d)
        e = None
        if edges == "types":
            e = net.get("embedding_e.weight", 3, d)[edge]
        elif edges == "constant":
            e = net.linear("embedding_e", torch.ones(m, 1).double(), d)
        for i in range(layers):
            h, e, _ = layer(net, f"layers.{i}.", h, e, src, dst, o)
        if kind == "graph":
            own = [h[owner == g] for g in range(len(sizes))]
            h = torch.stack([{"mean": x.mean(0), "sum": x.sum(0), "max": x.max(0).values}[readout] for x in own])
        for i, width in enumerate((d // 2, d // 4, classes)):
            h = net.linear(f"MLP_layer.FC_layers.{i}", h if i == 0 else h.relu(), width)
        return h

    out = run(pe * signs)
    if kind == "graph":
        loss = (out - target).abs().mean()
    else:
        counts = torch.bincount(target, minlength=classes).double()
        weights = torch.where(counts > 0, (n - counts) / n, torch.zeros(()).double())
        nll = -out.log_softmax(-1)[torch.arange(n), target]
        loss = (nll * weights[target]).sum() / weights[target].sum()
    loss.backward()
    found = {"sparse.src": src, "sparse.dst": dst, "src": src, "dst": dst, "graph_id": owner, "lap_pe": pe}
    found.update({"node_feature" if features else "node_type": node, "sign_flip": signs, "target": target})
    if edges == "types":
        found["edge_type"] = edge
    found.update({"train.out": out, "train.loss": loss.reshape(1)})
    for key, value in net.values.items():
        found[f"p.{key}"] = value
        found[f"grad.{key}"] = value.grad if value.grad is not None else torch.zeros_like(value)
    found.update({f"after.{key}": value for key, value in net.statistics().items()})
    net.training = False
    found["eval.out"] = run(pe)
    loss_name = "L1" if kind == "graph" else "class-weighted cross-entropy"
    meta = dict(kind=kind, hidden=d, heads=o["heads"], layers=layers, pos_enc_dim=k, full_graph="false", readout=readout)
    meta.update(loss=loss_name, bn_eps=EPS, bn_momentum=MOMENTUM, graph_sizes=list(sizes))
    meta.update({key: str(o[key]).lower() for key in ("layer_norm", "batch_norm", "residual")})
    write(name, found, meta)


layer_case("more_node_both", [4, 6], 6, False, heads=3, layer_norm=True)
layer_case("more_edge_bias_alone", [5, 4], 4, True, use_bias=True, residual=False, clamp=0.5)
layer_case("more_edge_none", [6], 8, True, batch_norm=False, heads=1)
network_case("more_net_max_constant", [5, 4, 6], "graph", "constant", 2, readout="max", layer_norm=True, batch_norm=False)
network_case("more_net_features_bias", [6, 2, 5], "graph", None, 3, features=3, use_bias=True, layers=1)
network_case("more_net_node_edges", [7, 5], "node", "types", 2, layer_norm=True, residual=False)
