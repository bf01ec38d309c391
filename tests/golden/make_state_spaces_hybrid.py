"""Writes hybrids/mamba2attn_a beside this file: a small hybrid in the format of state-spaces' mamba_ssm (Mamba-2, with
MHA in the layers of attn_layer_idx, an MLP after each), with random weights, and its logits in float64. Needs numpy.

python3 tests/golden/make_state_spaces_hybrid.py

"""

import json
import pathlib
import struct

import numpy as np

BATCH, FRAMES, D_MODEL, LAYERS, VOCAB, HIDDEN = 2, 45, 24, 4, 53, 128
HEADDIM, D_STATE, GROUPS, TAPS = 8, 8, 2, 4
INNER = 2 * D_MODEL
CONFIG = {
    "d_model": D_MODEL,
    "d_intermediate": HIDDEN,
    "n_layer": LAYERS,
    "vocab_size": VOCAB,
    "ssm_cfg": {"layer": "Mamba2", "headdim": HEADDIM, "d_state": D_STATE, "ngroups": GROUPS},
    "attn_layer_idx": [1, 3],
    "attn_cfg": {
        "causal": True,
        "d_conv": 3,
        "head_dim": 8,
        "num_heads": 4,
        "num_heads_kv": 2,
        "out_proj_bias": False,
        "qkv_proj_bias": True,
        "rotary_emb_dim": 6,
        "softmax_scale": 0.5,
    },
    "rms_norm": True,
    "residual_in_fp32": True,
    "fused_add_norm": True,
    "pad_vocab_size_multiple": 8,
    "tie_embeddings": True,
}
ATTENTION = CONFIG["attn_cfg"]
Q, KV = (ATTENTION[key] * ATTENTION["head_dim"] for key in ("num_heads", "num_heads_kv"))


def weights(rng):
    def normal(*shape, scale):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    w = {"embedding.weight": normal(56, D_MODEL, scale=0.5), "norm_f.weight": 1 + normal(D_MODEL, scale=0.1)}
    for i in range(LAYERS):
        layer = {
            "norm.weight": 1 + normal(D_MODEL, scale=0.1),
            "norm2.weight": 1 + normal(D_MODEL, scale=0.1),
            "mlp.fc1.weight": normal(2 * HIDDEN, D_MODEL, scale=0.2),
            "mlp.fc2.weight": normal(D_MODEL, HIDDEN, scale=0.1),
        }
        attention = i in CONFIG["attn_layer_idx"]
        heads, channels = INNER // HEADDIM, Q + 2 * KV if attention else INNER + 2 * GROUPS * D_STATE
        rows = channels if attention else INNER + channels + heads
        layer["mixer.in_proj.weight"] = normal(rows, D_MODEL, scale=0.3)
        layer["mixer.conv1d.weight"] = normal(channels, 1, ATTENTION["d_conv"] if attention else TAPS, scale=0.6)
        layer["mixer.conv1d.bias"] = normal(channels, scale=0.1)
        layer["mixer.out_proj.weight"] = normal(D_MODEL, Q if attention else INNER, scale=0.3)
        if attention:
            layer["mixer.in_proj.bias"] = normal(rows, scale=0.1)
        else:
            layer["mixer.dt_bias"], layer["mixer.D"] = normal(heads, scale=1) - 1, 1 + normal(heads, scale=0.1)
            layer["mixer.A_log"] = np.log(np.linspace(0.5, 8, heads)).astype(np.float32)
            layer["mixer.norm.weight"] = 1 + normal(INNER, scale=0.1)
        w.update({f"layers.{i}.{name}": value for name, value in layer.items()})
    return w


def rms_normed(x, weight, groups=1):
    parts = x.reshape(*x.shape[:-1], groups, -1)
    return (parts / np.sqrt((parts**2).mean(-1, keepdims=True) + 1e-5)).reshape(x.shape) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def convolved(x, at):
    """x: (frames, channels)"""
    weight, padded = at("conv1d.weight")[:, 0], np.pad(x, ((at("conv1d.weight").shape[2] - 1, 0), (0, 0)))
    return sum(padded[j : j + len(x)] * weight[:, j] for j in range(weight.shape[1])) + at("conv1d.bias")


def mamba2(x, at):
    heads = INNER // HEADDIM
    z, mixed, dt = np.split(x @ at("in_proj.weight").T, [INNER, 2 * INNER + 2 * GROUPS * D_STATE], -1)
    mixed = silu(convolved(mixed, at))
    v = mixed[:, :INNER].reshape(-1, heads, HEADDIM)
    B, C = mixed[:, INNER:].reshape(-1, 2, GROUPS, D_STATE).repeat(heads // GROUPS, 2).transpose(1, 0, 2, 3)
    dt = np.log1p(np.exp(dt + at("dt_bias")))
    state, y = np.zeros((heads, HEADDIM, D_STATE)), np.zeros((len(x), heads, HEADDIM))
    for t in range(len(x)):
        kept = np.exp(-np.exp(at("A_log")) * dt[t])[:, None, None]
        state = kept * state + dt[t][:, None, None] * v[t][:, :, None] * B[t][:, None, :]
        y[t] = (state * C[t][:, None, :]).sum(-1) + at("D")[:, None] * v[t]
    return rms_normed(y.reshape(len(x), INNER) * silu(z), at("norm.weight"), GROUPS) @ at("out_proj.weight").T


def rotated(x):
    """x: (frames, heads, head_dim); the pairs of the first rotary_emb_dim values are turned"""
    pairs = ATTENTION["rotary_emb_dim"] // 2
    angle = np.arange(len(x))[:, None, None] * 10000.0 ** (-np.arange(pairs) / pairs)
    a, b, rest = np.split(x, [pairs, 2 * pairs], -1)
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle), rest], -1)


def attention(x, at):
    qkv = convolved(x @ at("in_proj.weight").T + at("in_proj.bias"), at)
    q, k, v = (part.reshape(len(x), -1, ATTENTION["head_dim"]) for part in np.split(qkv, [Q, Q + KV], -1))
    repeats = ATTENTION["num_heads"] // ATTENTION["num_heads_kv"]
    q, k, v = rotated(q), rotated(k).repeat(repeats, 1), v.repeat(repeats, 1)
    scores = ATTENTION["softmax_scale"] * np.einsum("thd,shd->hts", q, k)
    scores = np.where(np.tril(np.ones((len(x), len(x)), bool)), scores, -np.inf)
    share = np.exp(scores - scores.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    return np.einsum("hts,shd->thd", share, v).reshape(len(x), -1) @ at("out_proj.weight").T


def logits(ids, w):
    x = w["embedding.weight"][ids]
    for i in range(LAYERS):
        at = lambda name: w[f"layers.{i}.mixer.{name}"]
        mixer = attention if i in CONFIG["attn_layer_idx"] else mamba2
        x = x + mixer(rms_normed(x, w[f"layers.{i}.norm.weight"]), at)
        up, gate = np.split(rms_normed(x, w[f"layers.{i}.norm2.weight"]) @ w[f"layers.{i}.mlp.fc1.weight"].T, 2, -1)
        x = x + (up * silu(gate)) @ w[f"layers.{i}.mlp.fc2.weight"].T
    return rms_normed(x, w["norm_f.weight"]) @ w["embedding.weight"].T


def write(path, tensors):
    header, data = {}, b""
    for name, value in tensors.items():
        kind = {"f": "F", "i": "I"}[value.dtype.kind] + str(8 * value.dtype.itemsize)
        header[name] = {
            "dtype": kind,
            "shape": list(value.shape),
            "data_offsets": [len(data), len(data) + value.nbytes],
        }
        data += np.ascontiguousarray(value).tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main():
    rng = np.random.default_rng(1)
    w = weights(rng)
    ids = rng.integers(0, VOCAB, (BATCH, FRAMES))
    exact = {name: value.astype(np.float64) for name, value in w.items()}
    output = np.stack([logits(row, exact) for row in ids])
    folder = pathlib.Path(__file__).parent / "hybrids" / "mamba2attn_a"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    write(folder / "model.safetensors", {f"backbone.{name}": value for name, value in w.items()})
    write(folder.parent / "mamba2attn_a.io.safetensors", {"input": ids.astype(np.int64), "output": output})


if __name__ == "__main__":
    main()
