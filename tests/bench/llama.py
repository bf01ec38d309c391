"""Compares the speed of language models with llama.cpp's on this CPU: tokens per second one by one and in a prefill.

    python tests/bench/llama.py make FOLDER --gguf-py LLAMA_SOURCE/gguf-py
    python tests/bench/llama.py run FOLDER --coil build/cli/coil --llama-bench LLAMA_BUILD/bin/llama-bench

`make` writes models of three shapes with the same random weights in both formats; it needs numpy, and what gguf-py
needs. `run` measures both programs by turns and prints medians.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import struct
import subprocess
import sys

FORMATS = {"f32": "f32", "bf16": "bf16"}  # weights in the GGUF file: as coil's --weights
PREFILL, ATTENTION_WINDOW = 512, 1024


class Shape:
    """A checkpoint as coil reads it, and the same as GGUF: names, shapes, and what the values are made of."""

    def __init__(self, arch, config, keys):
        self.arch, self.config, self.keys, self.tensors = arch, config, keys, []

    def add(self, name, gguf_name, *shape, make=None, gguf_shape=None, gguf=None):
        self.tensors.append((name, gguf_name, shape, make, gguf_shape, gguf))


def steps(rng, shape):
    """inverse softplus of step sizes between 0.001 and 0.1"""
    import numpy as np

    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), shape))
    return dt + np.log(-np.expm1(-dt))


def ones(rng, shape):
    import numpy as np

    return np.ones(shape)


def decays(rng, shape):
    import numpy as np

    return np.log(rng.uniform(1, 16, shape))


def decay_rates(values):
    import numpy as np

    return -np.exp(values)


def mamba_130m():
    width, layers, vocab, inner, states, rank = 768, 24, 50280, 1536, 16, 48
    config = {
        "model_type": "mamba",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "vocab_size": vocab,
        "state_size": states,
        "time_step_rank": rank,
    }
    keys = {"ssm.conv_kernel": 4, "ssm.inner_size": inner, "ssm.state_size": states, "ssm.time_step_rank": rank}
    shape = Shape("mamba", config, common_keys(width, layers, vocab) | keys)
    shape.add("backbone.embeddings.weight", "token_embd.weight", vocab, width)
    for i in range(layers):
        name, block = f"backbone.layers.{i}.", f"blk.{i}."
        shape.add(name + "norm.weight", block + "attn_norm.weight", width, make=ones)
        name += "mixer."
        shape.add(name + "in_proj.weight", block + "ssm_in.weight", 2 * inner, width)
        shape.add(name + "conv1d.weight", block + "ssm_conv1d.weight", inner, 1, 4, gguf_shape=(inner, 4))
        shape.add(name + "conv1d.bias", block + "ssm_conv1d.bias", inner)
        shape.add(name + "x_proj.weight", block + "ssm_x.weight", rank + 2 * states, inner)
        shape.add(name + "dt_proj.weight", block + "ssm_dt.weight", inner, rank)
        shape.add(name + "dt_proj.bias", block + "ssm_dt.bias", inner, make=steps)
        shape.add(name + "A_log", block + "ssm_a", inner, states, make=decays, gguf=decay_rates)
        shape.add(name + "D", block + "ssm_d", inner, make=ones)
        shape.add(name + "out_proj.weight", block + "ssm_out.weight", width, inner)
    shape.add("backbone.norm_f.weight", "output_norm.weight", width, make=ones)
    return shape


def add_mamba2(shape, name, block, width, heads, headdim, states):
    inner = heads * headdim
    channels = inner + 2 * states
    shape.add(name + "in_proj.weight", block + "ssm_in.weight", inner + channels + heads, width)
    shape.add(name + "conv1d.weight", block + "ssm_conv1d.weight", channels, 1, 4, gguf_shape=(channels, 4))
    shape.add(name + "conv1d.bias", block + "ssm_conv1d.bias", channels)
    shape.add(name + "dt_bias", block + "ssm_dt.bias", heads, make=steps)
    shape.add(name + "A_log", block + "ssm_a", heads, make=decays, gguf_shape=(heads, 1), gguf=decay_rates)
    shape.add(name + "D", block + "ssm_d", heads, make=ones, gguf_shape=(heads, 1))
    shape.add(name + "norm.weight", block + "ssm_norm.weight", inner, make=ones, gguf_shape=(1, inner))
    shape.add(name + "out_proj.weight", block + "ssm_out.weight", width, inner)


def mamba2_keys(heads, headdim, states):
    return {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": heads * headdim,
        "ssm.state_size": states,
        "ssm.time_step_rank": heads,
        "ssm.group_count": 1,
    }


def mamba2_370m():
    width, layers, vocab, heads, headdim, states = 1024, 48, 50288, 32, 64, 128
    config = {
        "model_type": "mamba2",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "vocab_size": vocab,
        "num_heads": heads,
        "head_dim": headdim,
        "state_size": states,
        "n_groups": 1,
        "tie_word_embeddings": True,
    }
    shape = Shape("mamba2", config, common_keys(width, layers, vocab) | mamba2_keys(heads, headdim, states))
    shape.add("backbone.embeddings.weight", "token_embd.weight", vocab, width)
    for i in range(layers):
        name, block = f"backbone.layers.{i}.", f"blk.{i}."
        shape.add(name + "norm.weight", block + "attn_norm.weight", width, make=ones)
        add_mamba2(shape, name + "mixer.", block, width, heads, headdim, states)
    shape.add("backbone.norm_f.weight", "output_norm.weight", width, make=ones)
    return shape


def granite_350m():
    width, layers, vocab, hidden, attention = 768, 32, 100352, 2048, (10, 13, 17, 27)
    heads, headdim, states, queries, kv = 48, 32, 128, 12, 4
    kv_width = kv * width // queries
    config = {
        "model_type": "granitemoehybrid",
        "hidden_size": width,
        "intermediate_size": hidden,
        "shared_intermediate_size": hidden,
        "num_hidden_layers": layers,
        "layer_types": ["attention" if i in attention else "mamba" for i in range(layers)],
        "vocab_size": vocab,
        "num_attention_heads": queries,
        "num_key_value_heads": kv,
        "position_embedding_type": "nope",
        "num_local_experts": 0,
        "num_experts_per_tok": 0,
        "mamba_n_heads": heads,
        "mamba_d_head": headdim,
        "mamba_d_state": states,
        "mamba_n_groups": 1,
        "mamba_expand": 2,
        "mamba_d_conv": 4,
        "embedding_multiplier": 12,
        "attention_multiplier": 0.015625,
        "residual_multiplier": 0.246,
        "logits_scaling": 3,
        "tie_word_embeddings": True,
        "sliding_window": ATTENTION_WINDOW,
    }
    keys = common_keys(width, layers, vocab, hidden) | mamba2_keys(heads, headdim, states)
    keys |= {
        "attention.head_count": queries,
        "attention.head_count_kv": [kv if i in attention else 0 for i in range(layers)],
        "attention.scale": 0.015625,
        "embedding_scale": 12.0,
        "residual_scale": 0.246,
        "logit_scale": 3.0,
        "rope.scaling.finetuned": False,
    }
    shape = Shape("granitehybrid", config, keys)
    shape.add("model.embed_tokens.weight", "token_embd.weight", vocab, width)
    for i in range(layers):
        name, block = f"model.layers.{i}.", f"blk.{i}."
        shape.add(name + "input_layernorm.weight", block + "attn_norm.weight", width, make=ones)
        if i in attention:
            for letter, rows in (("q", width), ("k", kv_width), ("v", kv_width)):
                shape.add(f"{name}self_attn.{letter}_proj.weight", f"{block}attn_{letter}.weight", rows, width)
            shape.add(name + "self_attn.o_proj.weight", block + "attn_output.weight", width, width)
        else:
            add_mamba2(shape, name + "mamba.", block, width, heads, headdim, states)
        shape.add(name + "post_attention_layernorm.weight", block + "ffn_norm.weight", width, make=ones)
        halves = (block + "ffn_gate.weight", block + "ffn_up.weight")
        shape.add(name + "shared_mlp.input_linear.weight", halves, 2 * hidden, width)
        shape.add(name + "shared_mlp.output_linear.weight", block + "ffn_down.weight", width, hidden)
    shape.add("model.norm.weight", "output_norm.weight", width, make=ones)
    return shape


def common_keys(width, layers, vocab, hidden=0):
    return {
        "context_length": 1 << 20,
        "embedding_length": width,
        "feed_forward_length": hidden,
        "block_count": layers,
        "vocab_size": vocab,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }


SHAPES = {"mamba_130m": mamba_130m, "mamba2_370m": mamba2_370m, "granite_350m": granite_350m}


def values(shape):
    """name, GGUF's name, the values for coil, the values for GGUF"""
    import numpy as np

    rng = np.random.default_rng(1)
    for name, gguf_name, dims, make, gguf_shape, gguf in shape.tensors:
        value = make(rng, dims) if make else 0.02 * rng.standard_normal(dims, np.float32)
        value = value.astype(np.float32)
        other = (gguf(value) if gguf else value).reshape(gguf_shape or dims).astype(np.float32)
        yield name, gguf_name, value, other


def write_checkpoint(folder, shape):
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(shape.config))
    header, offset = {}, 0
    for name, _, dims, *_ in shape.tensors:
        size = 4 * int(np.prod(dims))
        header[name] = {"dtype": "F32", "shape": list(dims), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, value, _ in values(shape):
            file.write(value.tobytes())


def write_gguf(path, shape, weights):
    import gguf

    kind = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16}[weights]
    writer = gguf.GGUFWriter(path, shape.arch, use_temp_file=True)
    writer.add_tokenizer_model("no_vocab")
    for key, value in shape.keys.items():
        add = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, list: writer.add_array}
        add[type(value)](f"{shape.arch}.{key}", value)
    for _, names, _, value in values(shape):
        names = (names,) if isinstance(names, str) else names
        for name, part in zip(names, value.reshape(len(names), -1, *value.shape[1:])):
            matrix = part.ndim == 2 and min(part.shape) > 4 and not name.endswith("ssm_a")
            stored = kind if matrix else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quants.quantize(part, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(options):
    sys.path.insert(0, str(options.gguf_py))
    for name in options.shapes:
        shape = SHAPES[name]()
        write_checkpoint(options.folder / name, shape)
        for weights in FORMATS:
            write_gguf(options.folder / f"{name}.{weights}.gguf", shape, weights)
        print(f"made {name}", flush=True)


def printed(options, command):
    done = subprocess.run([*shlex.split(options.prefix), *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def coil_speed(options, name, weights, threads):
    """tokens per second: one by one, prefill"""
    blocks = f"1,{PREFILL}"
    report = json.loads(
        printed(
            options,
            [options.coil, "bench", options.folder / name, "--weights", weights, "--blocks", blocks, "--json"]
            + ["--seconds", options.seconds, "--threads", threads],
        )
    )
    rows = {row["block"]: row["frames_per_s"] for row in report["models"][0]["blocks"]}
    return rows[1], rows[PREFILL]


def llama_speed(options, name, weights, threads):
    model = options.folder / f"{name}.{weights}.gguf"
    sizes = ["-p", PREFILL, "-n", options.tokens, "-r", 1, "-t", threads, "-ub", PREFILL]
    rows = json.loads(printed(options, [options.llama_bench, "-m", model, *sizes, "-o", "json"]))
    speed = {row["n_prompt"] > 0: row["avg_ts"] for row in rows}
    return speed[False], speed[True]


def run(options):
    print("shape         weights  program          one by one     prefill   (tokens/s, medians)")
    for name in options.shapes:
        for weights in FORMATS:
            programs = {}
            for threads in options.threads:
                programs[f"coil, {threads}"] = lambda t=threads: coil_speed(options, name, weights, t)
                programs[f"llama.cpp, {threads}"] = lambda t=threads: llama_speed(options, name, weights, t)
            measured = {program: [] for program in programs}
            for _ in range(options.rounds):
                for program, measure in programs.items():
                    measured[program].append(measure())
            for program, speeds in measured.items():
                one, prefill = (statistics.median(column) for column in zip(*speeds))
                print(f"{name:13s} {weights:8s} {program:15s} {one:11.1f} {prefill:11.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["make", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shapes", nargs="*", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--gguf-py", type=pathlib.Path, help="make: the gguf-py folder of llama.cpp's source")
    parser.add_argument("--coil", default="build/cli/coil")
    parser.add_argument("--llama-bench", default="llama-bench")
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2], help="of both programs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="coil: for each measurement")
    parser.add_argument("--tokens", type=int, default=64, help="llama.cpp: one by one")
    parser.add_argument("--prefix", default="", help="put before each measured command, for instance 'nice -n -20'")
    options = parser.parse_args()
    make(options) if options.action == "make" else run(options)


if __name__ == "__main__":
    main()
