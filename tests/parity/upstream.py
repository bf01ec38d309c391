"""Makes small random checkpoints with transformers, with every option that Coil supports, and compares `coil verify`
with their outputs.

Run by hand, not in CI: it needs torch, transformers and safetensors from PyPI.

python tests/parity/upstream.py build/cli/coil

Each line: the case, the worst error over all executions and SIMD targets. The outputs are computed in float64.

"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    FalconMambaConfig,
    FalconMambaForCausalLM,
    Mamba2Config,
    Mamba2ForCausalLM,
    Mamba2Model,
    MambaConfig,
    MambaForCausalLM,
    MambaModel,
)

BATCH, FRAMES, VOCAB = 2, 43, 53
TOLERANCE = 1e-5
# Small, with weights large enough that every path of the network affects the output.
COMMON = dict(vocab_size=VOCAB, num_hidden_layers=2, hidden_size=24, state_size=16, initializer_range=0.1)
MAMBA2 = COMMON | dict(head_dim=8, num_heads=6, chunk_size=16, n_groups=1)

MODELS = {
    "mamba": (
        MambaForCausalLM,
        MambaConfig,
        COMMON,
        [
            {},
            {"use_bias": True},
            {"use_conv_bias": False},
            {"conv_kernel": 3},
            {"conv_kernel": 2},
            {"expand": 1},
            {"expand": 3},
            {"time_step_rank": 5},
            {"state_size": 1},
            {"tie_word_embeddings": False},
            {"layer_norm_epsilon": 1e-3},
            {"num_hidden_layers": 1},
            {"hidden_size": 17},
            {"residual_in_fp32": False},
            {"hidden_act": "swish"},
        ],
    ),
    "falcon_mamba": (
        FalconMambaForCausalLM,
        FalconMambaConfig,
        COMMON,
        [
            {},
            {"mixer_rms_eps": 1e-2},
            {"use_bias": True},
            {"use_conv_bias": False},
            {"conv_kernel": 3},
            {"expand": 3},
            {"time_step_rank": 5},
            {"tie_word_embeddings": False},
        ],
    ),
    "mamba2": (
        Mamba2ForCausalLM,
        Mamba2Config,
        MAMBA2,
        [
            {},
            {"n_groups": 2},
            {"n_groups": 3},
            {"n_groups": 6},
            {"use_bias": True, "n_groups": 3},
            {"use_conv_bias": False},
            {"conv_kernel": 3},
            {"conv_kernel": 2, "n_groups": 2},
            {"time_step_limit": (0.02, 0.5)},
            {"time_step_limit": (0.0, 0.1), "n_groups": 2},
            {"tie_word_embeddings": True},
            {"head_dim": 48, "num_heads": 1},
            {"head_dim": 1, "num_heads": 48, "n_groups": 4},
            {"head_dim": 12, "num_heads": 4, "n_groups": 4},
            {"expand": 4, "num_heads": 12, "n_groups": 2},
            {"state_size": 7},
            {"layer_norm_epsilon": 1e-3},
            {"chunk_size": 256},
            {"rms_norm": False},
            {"norm_before_gate": True},
        ],
    ),
}


def randomised(model, seed):
    """Biases, norms and D are initialised to constants, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim == 1 and not name.endswith(("A_log", "dt_bias", "dt_proj.bias")):
                value.add_(0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    return model.float().eval()


def expected(model, seed):
    """Token ids, and the model's output for them in float64."""
    ids = torch.randint(0, VOCAB, (BATCH, FRAMES), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        out = model.double()(ids, use_cache=False)
    model.float()
    return {"input": ids, "output": (out.logits if hasattr(out, "logits") else out.last_hidden_state).contiguous()}


def renamed(folder, new_name):
    file = folder / "model.safetensors"
    save_file({new_name(name): value for name, value in load_file(file).items()}, file, metadata={"format": "pt"})


def reconfigured(folder, **changes):
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def state_spaces(folder, ssm_cfg):
    """The form of mamba_ssm: its config, its name of the embeddings, a padded vocabulary, the head beside the
    embeddings.

    """
    file = folder / "model.safetensors"
    tensors = {name.replace("embeddings", "embedding"): value for name, value in load_file(file).items()}
    padded = torch.zeros(56, COMMON["hidden_size"])
    padded[:VOCAB] = tensors["backbone.embedding.weight"]
    tensors["backbone.embedding.weight"], tensors["lm_head.weight"] = padded, padded.clone()
    save_file(tensors, file)
    config = {
        "d_model": COMMON["hidden_size"],
        "n_layer": 2,
        "vocab_size": VOCAB,
        "ssm_cfg": ssm_cfg,
        "rms_norm": True,
        "residual_in_fp32": True,
        "fused_add_norm": True,
        "pad_vocab_size_multiple": 8,
    }
    (folder / "config.json").write_text(json.dumps(config))


def worst_error(coil, folder, data):
    run = subprocess.run([coil, "verify", folder, "--io", data, "--json"], capture_output=True, text=True, check=False)
    report = json.loads(run.stdout)
    error = report["files"][0].get("error")
    return (float("inf"), error) if error else (report["worst"], run.stderr.strip())


def directories():
    """(name, model, changes to its directory, logits of padding)"""
    for kind, (model, config, common, cases) in MODELS.items():
        for options in cases:
            yield f"{kind} {options or ''}", model(config(**(common | options))), lambda folder: None
    yield "no prefix, no head", MambaModel(MambaConfig(**COMMON)), lambda folder: None
    yield "no prefix, no head, mamba2", Mamba2Model(Mamba2Config(**MAMBA2)), lambda folder: None
    for prefix in ("model.", "", "module.backbone.", "model.backbone."):
        yield f"prefix '{prefix}'", Mamba2ForCausalLM(Mamba2Config(**MAMBA2)), lambda folder, prefix=prefix: renamed(
            folder, lambda name: name.replace("backbone.", prefix)
        )
    for limits in ([0.0, "Infinity"], ["0.0", "inf"], [0.0, None], [float("-inf"), float("inf")], [float("nan"), 1]):
        yield f"time_step_limit {limits}", Mamba2ForCausalLM(
            Mamba2Config(**MAMBA2)
        ), lambda folder, limits=limits: reconfigured(folder, time_step_limit=limits)
    yield "no model_type", MambaForCausalLM(MambaConfig(**COMMON)), lambda folder: reconfigured(folder, model_type=None)
    yield "state-spaces", MambaForCausalLM(MambaConfig(**COMMON)), lambda folder: state_spaces(folder, {})
    yield "state-spaces, Mamba2", Mamba2ForCausalLM(
        Mamba2Config(**(MAMBA2 | {"tie_word_embeddings": True, "n_groups": 3}))
    ), lambda folder: state_spaces(folder, {"layer": "Mamba2", "d_state": 16, "headdim": 8, "ngroups": 3})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coil", type=pathlib.Path)
    coil = parser.parse_args().coil.resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        for seed, (name, model, change) in enumerate(directories()):
            folder, data = pathlib.Path(temporary) / f"case{seed}", pathlib.Path(temporary) / f"case{seed}.safetensors"
            model = randomised(model, seed)
            model.save_pretrained(folder)
            io = expected(model, seed)
            change(folder)
            if name.startswith("state-spaces"):
                io["output"] = torch.nn.functional.pad(io["output"], (0, 3))  # the padding rows are zero
            save_file(io, data)
            error, words = worst_error(coil, folder, data)
            wanted_refusal = "nan" in name
            ok = (error == float("inf")) if wanted_refusal else error <= TOLERANCE
            failed += not ok
            print(
                f"{'ok' if ok else 'FAILED':6}  {error:8.1e}  "
                f"{name}{'  [' + words.replace(str(folder), 'DIR') + ']' if words else ''}",
                flush=True,
            )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
