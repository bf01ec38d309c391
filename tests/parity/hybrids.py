"""Makes small random hybrids with transformers, with every option that Coil supports; `coil verify` must reproduce
their logits.

Run by hand, not in CI: it needs torch, transformers and safetensors from PyPI.

python tests/parity/hybrids.py build/cli/coil [--only zamba2]

Each line: the worst error over all executions and SIMD targets, the case. The outputs are computed in float64.

"""

import argparse
import contextlib
import pathlib
import sys
import tempfile
import unittest.mock

import torch
import transformers as hf
from safetensors.torch import save_file
from upstream import TOLERANCE, VOCAB, reconfigured, worst_error

BATCH, FRAMES = 2, 45
COMMON = dict(
    vocab_size=VOCAB,
    hidden_size=24,
    intermediate_size=40,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
)
MAMBA2 = COMMON | dict(mamba_n_heads=6, mamba_d_head=8, mamba_d_state=8, mamba_expand=2, mamba_d_conv=4)
LINEAR, ATTENTION = "linear_attention", "full_attention"
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [1.5, 3.0, 5.0, 8.0],
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
STRETCHED = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0}
FAR = {"rope_type": "default", "rope_theta": 1e6}

JAMBA = COMMON | dict(
    mamba_d_state=8,
    num_hidden_layers=4,
    attn_layer_period=4,
    attn_layer_offset=2,
    expert_layer_period=2,
    expert_layer_offset=1,
    num_experts=4,
    num_experts_per_tok=2,
)
BAMBA = MAMBA2 | dict(num_hidden_layers=3, attn_layer_indices=[1], mamba_n_groups=1)
GRANITE = MAMBA2 | dict(
    num_hidden_layers=4,
    layer_types=[LINEAR, LINEAR, ATTENTION, LINEAR],
    mamba_n_groups=1,
    shared_intermediate_size=32,
    num_local_experts=0,
    num_experts_per_tok=0,
    position_embedding_type="nope",
)
NEMOTRON = COMMON | dict(
    head_dim=8,
    layers_block_type=[LINEAR, "moe", ATTENTION, "mlp"],
    mamba_num_heads=6,
    mamba_head_dim=8,
    ssm_state_size=8,
    n_groups=2,
    chunk_size=16,
    moe_intermediate_size=24,
    moe_shared_expert_intermediate_size=20,
    n_routed_experts=4,
    num_experts_per_tok=2,
)
FALCON = MAMBA2 | dict(num_hidden_layers=3, head_dim=8, mamba_d_ssm=48, mamba_n_groups=1, mamba_chunk_size=16)
ZAMBA = COMMON | dict(
    num_hidden_layers=5,
    layers_block_type=[LINEAR, "hybrid", LINEAR, "hybrid", "hybrid"],
    mamba_d_state=8,
    mamba_expand=2,
    mamba_ngroups=1,
    n_mamba_heads=6,
    mamba_headdim=8,
    num_key_value_heads=4,
    num_mem_blocks=1,
    adapter_rank=4,
    chunk_size=16,
    use_mem_rope=True,
)

MODELS = {
    "jamba": (
        hf.JambaForCausalLM,
        hf.JambaConfig,
        JAMBA,
        [
            {},
            {"tie_word_embeddings": True},
            {"mamba_proj_bias": True, "mamba_conv_bias": False},
            {"num_experts": 1, "num_experts_per_tok": 1},
            {"num_experts_per_tok": 1},
            {"num_key_value_heads": 4},
            {"num_key_value_heads": 1},
            {"mamba_dt_rank": 5, "mamba_d_conv": 3, "mamba_expand": 3},
            {"rms_norm_eps": 1e-3},
            {"attn_layer_period": 1, "attn_layer_offset": 0},
            {"expert_layer_period": 1, "expert_layer_offset": 0},
        ],
    ),
    "bamba": (
        hf.BambaForCausalLM,
        hf.BambaConfig,
        BAMBA,
        [
            {},
            {"tie_word_embeddings": True},
            {"mamba_n_groups": 2},
            {"mamba_proj_bias": True, "mamba_conv_bias": False},
            {"attention_bias": True, "mlp_bias": True},
            {"attn_layer_indices": None},
            {"attn_layer_indices": [0, 2]},
            {"rope_parameters": FAR | {"partial_rotary_factor": 0.5}},
            {"hidden_size": 32, "mamba_n_heads": 8, "rope_parameters": YARN | {"partial_rotary_factor": 0.5}},
            {"hidden_size": 32, "mamba_n_heads": 8, "rope_parameters": LLAMA3 | {"partial_rotary_factor": 0.5}},
            {"time_step_limit": (0.05, 0.5)},
            {"mamba_d_head": "auto", "mamba_n_heads": 4},
        ],
    ),
    "granitemoehybrid": (
        hf.GraniteMoeHybridForCausalLM,
        hf.GraniteMoeHybridConfig,
        GRANITE,
        [
            {},
            {
                "embedding_multiplier": 3.0,
                "logits_scaling": 2.0,
                "residual_multiplier": 0.5,
                "attention_multiplier": 0.2,
            },
            {"num_local_experts": 4, "num_experts_per_tok": 2, "residual_multiplier": 0.7},
            {"num_local_experts": 3, "num_experts_per_tok": 3, "tie_word_embeddings": True},
            {"position_embedding_type": "rope"},
            {"position_embedding_type": "rope", "rope_parameters": STRETCHED},
            {"position_embedding_type": "rope", "hidden_size": 32, "mamba_n_heads": 8, "rope_parameters": YARN},
            {"mamba_n_groups": 2, "mamba_proj_bias": True},
            {"mamba_n_groups": 3, "mamba_conv_bias": False, "attention_bias": True},
            {"layer_types": None},
        ],
    ),
    "nemotron_h": (
        hf.NemotronHForCausalLM,
        hf.NemotronHConfig,
        NEMOTRON,
        [
            {},
            {"tie_word_embeddings": True},
            {"n_groups": 1},
            {"n_groups": 3, "use_bias": True, "use_conv_bias": False},
            {"mlp_bias": True},
            {"mlp_hidden_act": "silu"},
            {"n_routed_experts": 8, "n_group": 4, "topk_group": 2, "num_experts_per_tok": 3},
            {"norm_topk_prob": False, "routed_scaling_factor": 2.5},
            {"moe_latent_size": 10},
            {"moe_latent_size": 10, "mlp_bias": True},
            {"head_dim": 5, "num_key_value_heads": 1},
            {"time_step_min": 0.1},
            {"layers_block_type": [LINEAR, ATTENTION, "mlp", ATTENTION, LINEAR]},
            {"layer_norm_epsilon": 1e-3},
        ],
    ),
    "falcon_h1": (
        hf.FalconH1ForCausalLM,
        hf.FalconH1Config,
        FALCON,
        [
            {},
            {"tie_word_embeddings": True},
            {"mamba_rms_norm": True},
            {"mamba_rms_norm": True, "mamba_norm_before_gate": False},
            {"mamba_rms_norm": True, "mamba_n_groups": 2},
            {"mamba_rms_norm": True, "mamba_n_groups": 2, "mamba_norm_before_gate": False},
            {"mamba_proj_bias": True, "projectors_bias": True, "attention_bias": True, "mlp_bias": True},
            {
                "lm_head_multiplier": 0.5,
                "embedding_multiplier": 2.0,
                "mlp_multipliers": [0.8, 0.6],
                "key_multiplier": 0.7,
                "attention_in_multiplier": 1.2,
                "attention_out_multiplier": 0.9,
                "ssm_multipliers": [0.9, 0.8, 0.7, 0.6, 0.5],
                "ssm_in_multiplier": 1.1,
                "ssm_out_multiplier": 0.8,
                "mamba_proj_bias": True,
                "attention_bias": True,
                "projectors_bias": True,
                "mlp_bias": True,
            },
            {"mamba_d_ssm": 96, "mamba_n_heads": 12},
            {"mamba_d_ssm": None},
            {"rope_parameters": FAR},
            {"rope_parameters": LLAMA3},
            {"rope_parameters": YARN},
            {"rope_parameters": DYNAMIC},
            {"rope_parameters": DYNAMIC, "max_position_embeddings": 16},
            {"rope_parameters": LONGROPE},
            {"rope_parameters": LONGROPE | {"original_max_position_embeddings": 32}},
            {"rope_parameters": LONGROPE | {"attention_factor": 1.3}},
            {"mamba_conv_bias": False, "mamba_d_conv": 3, "num_key_value_heads": 4},
            {"time_step_limit": (0.1, 0.6)},
        ],
    ),
    "zamba2": (
        hf.Zamba2ForCausalLM,
        hf.Zamba2Config,
        ZAMBA,
        [
            {},
            {"tie_word_embeddings": False},
            {"num_mem_blocks": 2},
            {"num_mem_blocks": 2, "use_shared_attention_adapter": True},
            {"use_shared_attention_adapter": True},
            {"use_mem_rope": False},
            {"mamba_ngroups": 2},
            {"add_bias_linear": True},
            {"use_conv_bias": False, "hidden_act": "silu"},
            {"num_key_value_heads": 2},
            {"time_step_min": 0.1},
            {"rope_parameters": STRETCHED},
        ],
    ),
}


def randomised(model, seed):
    """Norms, biases, D and the routers' corrections are initialised to constants, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    noise = lambda value, size: torch.randn(value.shape, generator=generator, dtype=value.dtype) * size
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "norm" in name:
                value.add_(noise(value, 0.2))
            elif name.endswith(".D") or "bias" in name or "A_log" in name:
                value.add_(noise(value, 0.3))
            else:
                value.copy_(noise(value, 0.7 / max(1, value.shape[-1]) ** 0.5))
        for name, value in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                value.copy_(noise(value, 0.2))
    return model.eval()


@contextlib.contextmanager
def everything_in_double():
    """transformers computes norms, scans and softmax in float32 even in a model of float64."""
    with unittest.mock.patch.object(torch, "float32", torch.float64), unittest.mock.patch.object(
        torch.Tensor, "float", torch.Tensor.double
    ):
        yield


def expected(folder, kind, seed):
    ids = torch.randint(0, VOCAB, (BATCH, FRAMES), generator=torch.Generator().manual_seed(seed))
    model = kind.from_pretrained(folder, dtype=torch.float64, experts_implementation="eager").eval()
    with torch.no_grad(), everything_in_double():
        return {"input": ids, "output": model(input_ids=ids, use_cache=False).logits.contiguous()}


def cases():
    """(name, class, model, how it is saved, changes to its directory)"""
    nothing = lambda folder: None
    for name, (kind, config, common, options) in MODELS.items():
        for option in options:
            yield f"{name} {option or ''}", kind, lambda: kind(config(**(common | option))), {}, nothing
        for dtype in (torch.float16, torch.bfloat16):
            yield f"{name} {dtype}", kind, lambda: kind(config(**common)).to(dtype), {}, nothing
        yield f"{name} in shards", kind, lambda: kind(config(**common)), {"max_shard_size": "10KB"}, nothing
        unnamed = lambda folder: reconfigured(folder, model_type=None)
        yield f"{name} without model_type", kind, lambda: kind(config(**common)), {}, unnamed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("coil", type=pathlib.Path)
    parser.add_argument("--only", default="", help="kinds whose name begins with this")
    options = parser.parse_args()
    coil, failed = options.coil.resolve(), 0
    with tempfile.TemporaryDirectory() as temporary:
        for seed, (name, kind, make, saved, change) in enumerate(cases()):
            if not name.startswith(options.only):
                continue
            folder, data = pathlib.Path(temporary) / f"case{seed}", pathlib.Path(temporary) / f"case{seed}.safetensors"
            torch.manual_seed(seed)
            randomised(make(), seed).save_pretrained(folder, **saved)
            save_file(expected(folder, kind, seed), data)
            change(folder)
            error, words = worst_error(coil, folder, data)
            failed += not error <= TOLERANCE
            words = words.replace(str(folder), "DIR")
            print(
                f"{'ok' if error <= TOLERANCE else 'FAILED':6}  {error:8.1e}  {name}{f'  [{words}]' if words else ''}",
                flush=True,
            )
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
