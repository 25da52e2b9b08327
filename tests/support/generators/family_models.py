"""Tiny random models of every family that config.json may name, computed by transformers and by tovamill.

    python3 tests/support/generators/family_models.py build/tovamill [--only NAME...] [--out FOLDER] [--keep]
    python3 tests/support/generators/family_models.py --goldens tests/support/goldens/families [--only NAME...]
    (needs torch, transformers 5.24, numpy, h5py; about two minutes)

Each case is a model of a family with one choice of its switches: transformers makes it, its weights are random and large
enough that attention and logits are far from uniform. Its document is scored by transformers (float64 where its modules
allow it) and by `tovamill score --policy full --dtype f32`: the NLL of each token must agree within 1e-3, the mean within
1e-4. The last line is the counts; the exit code is 1 where a case is wrong. `--goldens` writes models and numbers for the
tests instead, for the cases that the tests have.
"""

import argparse
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

import gguf
import h5py
import numpy as np
import torch
import transformers
from random_configs import byte_letters, tokenizer_json

TOLERANCE, MEAN_TOLERANCE = 1e-3, 1e-4
VOCABULARY, N_TOKENS = 300, 400
# Letters in no order: where the same words come again, tokens have weights that are next to equal.
TEXT = "".join(chr(c) for c in np.random.default_rng(5).integers(33, 127, N_TOKENS))
SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": VOCABULARY, "max_position_embeddings": 512, "bos_token_id": None,
    "eos_token_id": VOCABULARY - 1, "pad_token_id": None,
}  # fmt: skip
HEADS = {**SMALL, "head_dim": 16}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, "rope_theta": 10000.0}
LLAMA4 = {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.4,
          "original_max_position_embeddings": 32}  # fmt: skip
GEMMA4 = {**SMALL, "num_hidden_layers": 4, "head_dim": 8, "global_head_dim": 16, "sliding_window": 20,
          "vocab_size_per_layer_input": VOCABULARY,
          "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]}  # fmt: skip


def longrope(n, **more):
    return {"rope_type": "longrope", "short_factor": [1 + 0.1 * i for i in range(n)],
            "long_factor": [1.5 + 0.7 * i for i in range(n)], "rope_theta": 10000.0, **more}  # fmt: skip


# name -> (class, config, chunk_tokens or None). What the tests have is marked with a star in front of the name.
CASES = {
    "*gemma": ("Gemma", {**HEADS}),
    "gemma-gelu": ("Gemma", {**HEADS, "hidden_act": "gelu", "attention_bias": True}),
    "*gemma2": ("Gemma2", {**HEADS, "sliding_window": 20, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 3.0,
                           "final_logit_softcapping": 5.0}),
    "gemma2-nocap": ("Gemma2", {**HEADS, "sliding_window": 16, "attn_logit_softcapping": None,
                                "final_logit_softcapping": None,
                                "layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    "*gemma3": ("Gemma3Text", {**HEADS, "num_hidden_layers": 4, "sliding_window": 20, "sliding_window_pattern": 3,
                               "query_pre_attn_scalar": 16,
                               "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0,
                                                                      "rope_theta": 1000000.0},
                                                   "sliding_attention": {"rope_type": "default",
                                                                         "rope_theta": 10000.0}}}),
    "gemma3-cap": ("Gemma3Text", {**HEADS, "sliding_window": 9, "final_logit_softcapping": 6.0}),
    "*phi3": ("Phi3", {**SMALL, "sliding_window": 40}),
    "*phi3-long": ("Phi3", {**SMALL, "original_max_position_embeddings": 128, "rope_parameters": longrope(4)}),
    "phi3-short": ("Phi3", {**SMALL, "original_max_position_embeddings": 128, "rope_parameters": longrope(4)}, 128),
    "*phi4-mini": ("Phi3", {**SMALL, "hidden_size": 64, "tie_word_embeddings": True, "partial_rotary_factor": 0.75,
                            "original_max_position_embeddings": 128, "rope_parameters":
                            longrope(6, partial_rotary_factor=0.75)}),
    "phi4": ("Phi3", {**SMALL, "rope_theta": 250000.0}),
    "*olmo2": ("Olmo2", {**SMALL}),
    "olmo2-bias": ("Olmo2", {**SMALL, "attention_bias": True, "rope_parameters": {"rope_type": "default",
                                                                                 "rope_theta": 500000.0}}),
    "*olmo3": ("Olmo3", {**SMALL, "num_hidden_layers": 4, "sliding_window": 24, "rope_parameters": {
        "full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}),
    "*granite": ("Granite", {**SMALL, "embedding_multiplier": 6.0, "attention_multiplier": 0.2,
                             "residual_multiplier": 0.4, "logits_scaling": 0.5}),
    "granite-bias": ("Granite", {**SMALL, "attention_bias": True, "mlp_bias": True, "attention_multiplier": 0.3,
                                 "tie_word_embeddings": True}),
    "*granite4": ("GraniteMoeHybrid", {**SMALL, "layer_types": ["full_attention"] * 3, "num_local_experts": 0,
                                       "shared_intermediate_size": 40, "position_embedding_type": "rope",
                                       "mamba_n_heads": 4, "attention_multiplier": 0.3, "embedding_multiplier": 3.0,
                                       "residual_multiplier": 0.5, "logits_scaling": 0.7}),
    "granite4-nope": ("GraniteMoeHybrid", {**SMALL, "layer_types": ["full_attention"] * 3, "num_local_experts": 0,
                                           "shared_intermediate_size": 40, "position_embedding_type": "nope",
                                           "mamba_n_heads": 4, "attention_multiplier": 0.3}),
    "*ministral": ("Ministral", {**SMALL, "head_dim": 8, "sliding_window": 20, "layer_types": ["sliding_attention", "full_attention",
                                                                                "sliding_attention"]}),
    "*seed-oss": ("SeedOss", {**HEADS, "attention_bias": True, "attention_out_bias": True, "mlp_bias": True}),
    "seed-oss-plain": ("SeedOss", {**HEADS}),
    "*arcee": ("Arcee", {**SMALL}),
    "arcee-yarn": ("Arcee", {**SMALL, "attention_bias": True, "mlp_bias": True, "rope_parameters": {
        **YARN, "beta_fast": 16.0, "beta_slow": 2.0, "attention_factor": 1.2}}),
    "*exaone4": ("Exaone4", {**SMALL, "num_hidden_layers": 4, "sliding_window": 20, "sliding_window_pattern": 4}),
    "exaone4-full": ("Exaone4", {**SMALL, "sliding_window": None, "layer_types": ["full_attention"] * 3}),
    "glm": ("Glm", {**HEADS}),
    "*glm4": ("Glm4", {**HEADS}),
    "glm4-nobias": ("Glm4", {**HEADS, "attention_bias": False, "partial_rotary_factor": 1.0}),
    "cohere": ("Cohere", {**SMALL, "logit_scale": 0.5}),
    "*cohere2": ("Cohere2", {**SMALL, "num_hidden_layers": 4, "sliding_window": 20, "logit_scale": 0.7}),
    "cohere2-bias": ("Cohere2", {**SMALL, "sliding_window": 32, "attention_bias": True, "logit_scale": 1.0,
                                 "layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    "*stablelm": ("StableLm", {**SMALL, "hidden_size": 64, "use_qkv_bias": True}),
    "stablelm-parallel": ("StableLm", {**SMALL, "hidden_size": 64, "use_parallel_residual": True,
                                       "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                                           "partial_rotary_factor": 0.5}}),
    "*starcoder2": ("Starcoder2", {**SMALL, "sliding_window": 40}),
    "starcoder2-nobias": ("Starcoder2", {**SMALL, "use_bias": False, "hidden_act": "gelu",
                                         "tie_word_embeddings": False}),
    "helium": ("Helium", {**HEADS, "hidden_size": 64}),
    "*ernie": ("Ernie4_5", {**HEADS, "use_bias": True}),
    "*nemotron": ("Nemotron", {**HEADS}),
    "nemotron-bias": ("Nemotron", {**SMALL, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    "gemma3-vision": ("Gemma3", {
        "text_config": {**HEADS, "sliding_window": 20}, "mm_tokens_per_image": 4,
        "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                          "image_size": 28, "patch_size": 14}}),
    "llama-mlp-bias": ("Llama", {**SMALL, "mlp_bias": True, "hidden_act": "gelu"}),
    "llama-yarn": ("Llama", {**SMALL, "rope_parameters": YARN}),
    "llama-longrope": ("Llama", {**SMALL, "rope_parameters": longrope(4, original_max_position_embeddings=128,
                                                                      factor=4.0)}),
    "llama-dynamic": ("Llama", {**SMALL, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0,
                                                             "rope_theta": 10000.0}}),
    "qwen3-yarn": ("Qwen3", {**HEADS, "rope_parameters": {**YARN, "mscale": 0.8, "mscale_all_dim": 0.5,
                                                          "truncate": False}}),
    "qwen2-gelu": ("Qwen2", {**SMALL, "hidden_act": "gelu_pytorch_tanh"}),
    "*hunyuan": ("HunYuanDenseV1", {**HEADS, "rope_parameters": {
        "rope_type": "dynamic", "alpha": 50.0, "factor": 1.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0,
        "mscale_all_dim": 1.0, "rope_theta": 10000.0}}),
    "hunyuan-yarn": ("HunYuanDenseV1", {**HEADS, "attention_bias": True, "tie_word_embeddings": True,
                                        "rope_parameters": YARN}),
    "*ministral3": ("Ministral3", {**HEADS, "rope_parameters": LLAMA4}),
    "ministral3-window": ("Ministral3", {**HEADS, "sliding_window": 24, "rope_parameters": {
        **LLAMA4, "mscale": 0.8, "mscale_all_dim": 0.5, "original_max_position_embeddings": 50}}),
    "ministral3-default": ("Ministral3", {**HEADS, "rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "llama_4_scaling_beta": 0.7,
        "original_max_position_embeddings": 64}}),
    "mistral3-vision": ("Mistral3", {
        "text_config": {**HEADS, "model_type": "ministral3", "rope_parameters": LLAMA4},
        "vision_config": {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
                          "num_attention_heads": 2, "image_size": 28, "patch_size": 14}}),
    "*apertus": ("Apertus", {**SMALL, "rope_parameters": {
        "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "rope_theta": 10000.0}}),
    "*gemma4": ("Gemma4Text", {**GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True,
                               "hidden_size_per_layer_input": 12, "final_logit_softcapping": 5.0}),
    "*gemma4-k-is-v": ("Gemma4Text", {**GEMMA4, "attention_k_eq_v": True, "hidden_size_per_layer_input": 0}),
    "gemma4-one-kv": ("Gemma4Text", {**GEMMA4, "attention_k_eq_v": True, "num_global_key_value_heads": 1,
                                     "hidden_size_per_layer_input": 0, "attention_bias": True}),
    "gemma4-inputs": ("Gemma4Text", {**GEMMA4, "layer_types": None, "num_hidden_layers": 7, "global_head_dim": 8,
                                     "hidden_size_per_layer_input": 6, "tie_word_embeddings": False}),
    "gemma4-shared": ("Gemma4Text", {**GEMMA4, "num_kv_shared_layers": 1, "hidden_size_per_layer_input": 0,
                                     "rope_parameters": {
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 50000.0,
                           "factor": 2.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 5000.0}}}),
    "gemma4-vision": ("Gemma4", {
        "text_config": {**GEMMA4, "num_kv_shared_layers": 2, "hidden_size_per_layer_input": 12, "pad_token_id": 0},
        "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                          "head_dim": 8, "global_head_dim": 8}, "audio_config": None}),
    "apertus-silu": ("Apertus", {**SMALL, "hidden_act": "silu", "attention_bias": True}),
    "*qwen3-moe": ("Qwen3Moe", {**HEADS, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
                                "norm_topk_prob": True, "mlp_only_layers": [1]}),
    "qwen3-moe-all": ("Qwen3Moe", {**HEADS, "num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 24,
                                   "norm_topk_prob": False, "attention_bias": True, "use_sliding_window": True,
                                   "sliding_window": 40}),
    "qwen3-moe-step": ("Qwen3Moe", {**HEADS, "num_experts": 4, "num_experts_per_tok": 4, "moe_intermediate_size": 20,
                                    "decoder_sparse_step": 2, "num_hidden_layers": 4}),
    "*qwen2-moe": ("Qwen2Moe", {**SMALL, "num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
                                "shared_expert_intermediate_size": 28}),
    "qwen2-moe-window": ("Qwen2Moe", {**SMALL, "num_experts": 4, "num_experts_per_tok": 1, "moe_intermediate_size": 20,
                                      "shared_expert_intermediate_size": 28, "use_sliding_window": True,
                                      "sliding_window": 30, "max_window_layers": 2, "qkv_bias": False,
                                      "norm_topk_prob": True, "mlp_only_layers": [2]}),
    "*mixtral": ("Mixtral", {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "mixtral-window": ("Mixtral", {**SMALL, "num_local_experts": 3, "num_experts_per_tok": 1, "sliding_window": 50}),
    "*olmoe": ("Olmoe", {**SMALL, "num_experts": 8, "num_experts_per_tok": 3}),
    "olmoe-norm": ("Olmoe", {**SMALL, "num_experts": 8, "num_experts_per_tok": 2, "norm_topk_prob": True,
                             "attention_bias": True}),
    "granite-moe": ("GraniteMoe", {**SMALL, "num_local_experts": 5, "num_experts_per_tok": 2,
                                   "embedding_multiplier": 3.0, "attention_multiplier": 0.3,
                                   "residual_multiplier": 0.5, "logits_scaling": 0.7}),
    "*granite-moe-shared": ("GraniteMoeShared", {**SMALL, "num_local_experts": 5, "num_experts_per_tok": 2,
                                                 "shared_intermediate_size": 24, "attention_multiplier": 0.3,
                                                 "residual_multiplier": 0.6}),
    "*gpt-oss": ("GptOss", {**HEADS, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 20,
                            "rope_parameters": {**YARN, "truncate": False}, "intermediate_size": 32}),
    "gpt-oss-mxfp4": ("GptOss", {**HEADS, "num_local_experts": 3, "num_experts_per_tok": 2, "sliding_window": 20,
                                 "rope_parameters": {**YARN, "truncate": False}, "hidden_size": 64,
                                 "intermediate_size": 32}),
    "gpt-oss-nobias": ("GptOss", {**HEADS, "num_local_experts": 3, "num_experts_per_tok": 1, "sliding_window": 50,
                                  "attention_bias": False, "layer_types": ["full_attention"] * 3,
                                  "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
}  # fmt: skip


def make_model(class_name, config, seed):
    torch.manual_seed(seed)
    config_class = getattr(transformers, class_name + "Config")
    kind = "ForConditionalGeneration" if class_name in ("Gemma3", "Gemma4", "Mistral3") else "ForCausalLM"
    model_class = getattr(transformers, class_name.removesuffix("Text") + kind)
    made = config_class(**config)
    made._attn_implementation = "eager"
    model = model_class(made).double().eval()
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if "vision" in name or "multi_modal" in name:
                continue
            if len(shape) == 1:
                is_offset = "norm" in name and class_name.startswith(("Gemma", "Nemotron")) and "emma4" not in class_name
                mean = 0.0 if name.endswith("bias") or is_offset else 1.0
                values = generator.normal(mean, 0.3, shape)
                if name.endswith("alpha_p"):
                    values = generator.normal(-1.5, 0.3, shape)
            else:
                gain = 2.0 if "q_proj" in name or "k_proj" in name or "qkv" in name else 1.2
                if "embed" in name:
                    gain = 0.2 * shape[1] ** 0.5 if class_name.startswith("Gemma") else shape[1] ** 0.5
                    if made.tie_word_embeddings and not class_name.startswith("Gemma"):
                        gain = 1.5
                values = generator.normal(0, gain / shape[-1] ** 0.5, shape)
            parameter.copy_(torch.from_numpy(values).to(torch.bfloat16).double())
        for name, buffer in model.named_buffers():
            if name.endswith("layer_scalar"):
                buffer.fill_(float(torch.tensor(generator.uniform(0.5, 1.3)).bfloat16()))
    return model


def exact_rotary(model):
    """Rotary tables in float64, by transformers' own numbers of the frequencies."""
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            if "inv_freq" in name:
                module.register_buffer(name, buffer.double(), persistent=False)


def ids_of(text):
    return [b for b in text.encode()]


def nll_of(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    logp = torch.log_softmax(logits, -1)
    return [-logp[t - 1, ids[t]].item() for t in range(1, len(ids))]


def with_mxfp4_experts(model, seed):
    """Gives the experts of gpt-oss weights that MXFP4 holds; the tensors of blocks and scales."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    generator = np.random.default_rng(seed)
    tensors = {}
    for i, layer in enumerate(model.model.layers):
        for name in ("gate_up_proj", "down_proj"):
            parameter = getattr(layer.mlp.experts, name)
            n, columns, rows = parameter.shape
            blocks = torch.from_numpy(generator.integers(0, 256, (n, rows, columns // 32, 16), np.uint8))
            scales = torch.from_numpy(generator.integers(121, 125, (n, rows, columns // 32)).astype(np.uint8))
            values = convert_moe_packed_tensors(blocks.clone(), scales.clone(), dtype=torch.float32)
            with torch.no_grad():
                parameter.copy_(values.reshape(parameter.shape).double())
            prefix = f"model.layers.{i}.mlp.experts.{name}"
            tensors |= {prefix + "_blocks": blocks, prefix + "_scales": scales}
    return tensors


def replace_tensors(folder, packed):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    for name in packed:
        tensors.pop(name.removesuffix("_blocks").removesuffix("_scales"), None)
    save_file(tensors | packed, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4"}
    (folder / "config.json").write_text(json.dumps(config))


def write_model(model, folder):
    folder.mkdir(parents=True)
    model.float().save_pretrained(folder)
    for f in folder.glob("generation_config.json"):
        f.unlink()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    model.double()


def tovamill_nll(program, folder, corpus, out, options):
    """NLL of each token, exit code, message."""
    run = subprocess.run(
        [program, "score", "--model", folder, "--corpus", corpus, "--out", out, "--policy", "full", "--positions",
         "absolute", "--dtype", "f32", "--bos", "never", "--threads", "1", "--device", "cpu", "--token-nll", *options],
        capture_output=True, text=True,
    )  # fmt: skip
    if run.returncode != 0:
        return None, run.returncode, (run.stderr.strip().splitlines() or [""])[-1]
    with h5py.File(out / "results.h5") as results:
        return list(results["tokens/nll"][:]), 0, ""


# ---- the same as GGUF files

# model_type -> architecture. Rows of Q and K are pairs in the files of some families, as convert_hf_to_gguf.py has it;
# norms of others hold 1 more.
GGUF = {"gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3", "phi3": "phi3", "olmo2": "olmo2",
        "olmo3": "olmo2", "granite": "granite", "cohere": "command-r", "cohere2": "cohere2", "exaone4": "exaone4",
        "glm4": "glm4", "starcoder2": "starcoder2", "stablelm": "stablelm", "nemotron": "nemotron", "arcee": "arcee",
        "seed_oss": "seed_oss", "ernie4_5": "ernie4_5", "hunyuan_v1_dense": "hunyuan-dense",
        "ministral3": "mistral3", "apertus": "apertus", "gemma4_text": "gemma4", "mixtral": "llama",
        "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "olmoe": "olmoe", "granitemoe": "granitemoe",
        "granitemoeshared": "granitemoe", "gpt_oss": "gpt-oss"}  # fmt: skip
# What their files cannot say is left out: no windows of Phi 3 and Starcoder 2, no mscale but 1.
GGUF_CHANGES = {
    "gemma4-one-kv": {"attention_bias": False}, "gemma4-inputs": {"global_head_dim": 16},
    "gemma2": {"query_pre_attn_scalar": 16}, "phi3": {"sliding_window": None},
    "starcoder2": {"sliding_window": None},
    "arcee-yarn": {"rope_parameters": {**YARN, "beta_fast": 16.0, "beta_slow": 2.0}, "attention_bias": False,
                   "mlp_bias": False},
    "ministral3-window": {"sliding_window": None, "rope_parameters": {**LLAMA4, "mscale_all_dim": 0.5}},
    "gemma3-cap": {"final_logit_softcapping": None, "query_pre_attn_scalar": 16},
    "qwen2-moe-window": {"use_sliding_window": False, "norm_topk_prob": False, "mlp_only_layers": []},
    "qwen3-moe-all": {"norm_topk_prob": True, "attention_bias": False, "use_sliding_window": False},
    "gpt-oss": {"rope_parameters": YARN},
}  # fmt: skip
NOT_GGUF = ("gemma-gelu", "gemma2-nocap", "phi3-short", "olmo2-bias", "exaone4",
            "cohere2-bias", "starcoder2-nobias", "seed-oss", "apertus-silu", "ministral3-default",
            "gemma4-shared", "qwen3-moe", "qwen3-moe-step", "mixtral-window", "olmoe-norm", "gpt-oss-nobias",
            "gpt-oss-mxfp4")  # fmt: skip
PAIRED = ("granite", "arcee", "mistral3", "llama", "granitemoe")
OFFSET = ("gemma", "gemma2", "gemma3", "nemotron")


def paired_rows(matrix, n_heads):
    d = matrix.shape[0] // n_heads
    shape = (n_heads, 2, d // 2, *matrix.shape[1:])
    return matrix.reshape(shape).swapaxes(1, 2).reshape(matrix.shape)


def llama3_divisors(rope, head_dim):
    """As convert_hf_to_gguf.py's generate_extra_tensors has them."""
    low = rope["original_max_position_embeddings"] / rope["low_freq_factor"]
    high = rope["original_max_position_embeddings"] / rope["high_freq_factor"]
    divisors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * rope["rope_theta"] ** (i / head_dim)
        smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (
            rope["high_freq_factor"] - rope["low_freq_factor"])  # fmt: skip
        divisors.append(1 if wavelength < high else rope["factor"] if wavelength > low
                        else 1 / ((1 - smooth) / rope["factor"] + smooth))  # fmt: skip
    return np.array(divisors, np.float32)


def gguf_keys(writer, arch, c):
    c.allow_global_per_layer_attribute_access = True
    rope = c.rope_parameters
    full = rope.get("full_attention", rope)
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    shared = getattr(c, "num_kv_shared_layers", 0)
    sizes = [c.intermediate_size] * c.num_hidden_layers
    if shared and c.use_double_wide_mlp:
        sizes[-shared:] = [2 * c.intermediate_size] * shared
    writer.add_feed_forward_length(sizes if shared else c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    n_kv = c.num_key_value_heads
    if arch == "gemma4":
        n_kv = [c.per_layer_config[i].num_key_value_heads for i in range(c.num_hidden_layers)]
        head_dim = max(c.per_layer_config[i].head_dim for i in range(c.num_hidden_layers))
    writer.add_head_count_kv(n_kv)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    if not full.get("alpha"):
        writer.add_rope_freq_base(full["rope_theta"])
    part = 1.0 if arch == "gemma4" else full.get("partial_rotary_factor", 1.0)
    writer.add_rope_dimension_count(int(head_dim * part))
    if full.get("rope_type") == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(full["factor"]))
    if full.get("rope_type") == "longrope":
        original = c.original_max_position_embeddings
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(c.max_position_embeddings / original)
                                                       / math.log(original)))  # fmt: skip
        for kind in ("long", "short"):
            writer.add_tensor(f"rope_factors_{kind}.weight", np.array(full[kind + "_factor"], np.float32))
    if full.get("rope_type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(full["factor"]))
        writer.add_rope_scaling_orig_ctx_len(full["original_max_position_embeddings"])
        for key, add in (("attention_factor", writer.add_rope_scaling_yarn_attn_factor),
                         ("beta_fast", writer.add_rope_scaling_yarn_beta_fast),
                         ("beta_slow", writer.add_rope_scaling_yarn_beta_slow)):  # fmt: skip
            if full.get(key) is not None:
                add(float(full[key]))
    if arch == "gemma4":
        windowed = [t == "sliding_attention" for t in c.layer_types]
        per_layer = [c.per_layer_config[i] for i in range(c.num_hidden_layers)]
        writer.add_sliding_window(c.sliding_window)
        writer.add_sliding_window_pattern(windowed)
        writer.add_shared_kv_layers(c.num_kv_shared_layers)
        writer.add_embedding_length_per_layer_input(c.hidden_size_per_layer_input or 0)
        writer.add_key_length_swa(c.head_dim)
        writer.add_value_length_swa(c.head_dim)
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        writer.add_rope_dimension_count_swa(c.head_dim)
        writer.add_final_logit_softcapping(c.final_logit_softcapping or 0.0)
        head_dim = max(p.head_dim for p in per_layer)
        n = int(full["partial_rotary_factor"] * head_dim // 2)
        writer.add_tensor("rope_freqs.weight", np.array([1.0] * n + [1e30] * (head_dim // 2 - n), np.float32))
    if arch == "mistral3":
        writer.add_rope_scaling_yarn_log_mul(full["mscale_all_dim"])
        writer.add_attn_temperature_scale(full["llama_4_scaling_beta"])
    if full.get("rope_type") == "dynamic" and full.get("alpha"):
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        writer.add_rope_freq_base(full["rope_theta"] * full["alpha"] ** (head_dim / (head_dim - 2)))
    if full.get("rope_type") == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(full, head_dim))
    eps = [getattr(c, k) for k in ("rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps") if hasattr(c, k)][0]
    if arch in ("command-r", "cohere2", "starcoder2", "stablelm", "nemotron"):
        writer.add_layer_norm_eps(eps)
    else:
        writer.add_layer_norm_rms_eps(eps)
    if arch in ("gemma2", "gemma3", "olmo2", "cohere2", "exaone4", "gpt-oss") and getattr(c, "sliding_window", None):
        writer.add_sliding_window(c.sliding_window)
        kinds = [t == "sliding_attention" for t in c.layer_types]
        if arch not in ("gemma2", "gpt-oss") and kinds != [(i + 1) % (6 if arch == "gemma3" else 4) != 0 for i in range(len(kinds))]:
            writer.add_sliding_window_pattern(kinds)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(c.attn_logit_softcapping)
        writer.add_final_logit_softcapping(c.final_logit_softcapping)
    if arch.startswith("granite"):
        writer.add_attention_scale(float(c.attention_multiplier))
        writer.add_embedding_scale(float(c.embedding_multiplier))
        writer.add_residual_scale(float(c.residual_multiplier))
        writer.add_logit_scale(float(c.logits_scaling))
    if arch in ("command-r", "cohere2"):
        writer.add_logit_scale(float(c.logit_scale))
    n_experts = getattr(c, "num_local_experts", None) or getattr(c, "num_experts", None)
    if n_experts:
        writer.add_expert_count(n_experts)
        writer.add_expert_used_count(c.num_experts_per_tok)
        if arch == "gpt-oss":
            writer.add_expert_feed_forward_length(c.intermediate_size)
        if hasattr(c, "moe_intermediate_size"):
            writer.add_expert_feed_forward_length(c.moe_intermediate_size)
        shared = getattr(c, "shared_expert_intermediate_size", None) or getattr(c, "shared_intermediate_size", None)
        if shared:
            writer.add_expert_shared_feed_forward_length(shared)
    if arch == "stablelm":
        writer.add_parallel_residual(c.use_parallel_residual)


# Tensors of experts, and of what is beside them, by the names of transformers' modules.
EXPERT_TENSORS = {
    "experts.gate_up_proj": ("ffn_gate_exps", "ffn_up_exps"), "experts.down_proj": ("ffn_down_exps",),
    "block_sparse_moe.router.weight": ("ffn_gate_inp",), "mlp.gate.weight": ("ffn_gate_inp",),
    "shared_mlp.input_linear.weight": ("ffn_gate_shexp", "ffn_up_shexp"),
    "shared_mlp.output_linear.weight": ("ffn_down_shexp",), "shared_expert_gate.weight": ("ffn_gate_inp_shexp",),
}  # fmt: skip


def gpt_oss_tensors(name, values):
    """name behind the layer -> values, of what other families have otherwise."""
    kind = name.split(".", 3)[-1]
    if kind == "mlp.experts.gate_up_proj":
        return {f"ffn_{part}_exps.weight": values[:, :, i::2].swapaxes(1, 2) for i, part in enumerate(("gate", "up"))}
    if kind == "mlp.experts.gate_up_proj_bias":
        return {f"ffn_{part}_exps.bias": values[:, i::2] for i, part in enumerate(("gate", "up"))}
    if kind == "mlp.experts.down_proj":
        return {"ffn_down_exps.weight": values.swapaxes(1, 2)}
    names = {"mlp.experts.down_proj_bias": "ffn_down_exps.bias", "self_attn.sinks": "attn_sinks.weight",
             "mlp.router.weight": "ffn_gate_inp.weight", "mlp.router.bias": "ffn_gate_inp.bias",
             "post_attention_layernorm.weight": "post_attention_norm.weight"}  # fmt: skip
    return {names[kind]: values} if kind in names else {}


def write_expert_tensor(writer, arch, name, values):
    """False where the name is none of these."""
    if arch == "gpt-oss":
        tensors = gpt_oss_tensors(name, values)
        for target, part in tensors.items():
            writer.add_tensor(f"blk.{name.split('.')[2]}.{target}", np.ascontiguousarray(part))
        return bool(tensors)
    for part, names in EXPERT_TENSORS.items():
        if not name.endswith(part):
            continue
        rows = values.ndim - 2
        for target, half in zip(names, np.split(values, len(names), axis=rows)):
            half = half[0] if target == "ffn_gate_inp_shexp" else half
            writer.add_tensor(f"blk.{name.split('.')[2]}.{target}.weight", np.ascontiguousarray(half))
        return True
    return False


def write_gguf(file, arch, model):
    writer = gguf.GGUFWriter(file, arch)
    c = model.config
    gguf_keys(writer, arch, c)
    letters = byte_letters()
    tokens = [letters[b] for b in range(256)] + [letters[0] + letters[1]]
    tokens += [f"<unused{i}>" for i in range(257, c.vocab_size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * 257 + [5] * (len(tokens) - 257))
    writer.add_token_merges([letters[0] + " " + letters[1]])
    writer.add_add_bos_token(False)
    key = next(k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == arch)
    names = gguf.get_tensor_name_map(key, c.num_hidden_layers)
    if arch == "apertus":
        numbers = {k: [model.state_dict()[f"model.layers.{i}.mlp.act_fn.{k}"].item() for i in range(c.num_hidden_layers)]
                   for k in ("alpha_p", "alpha_n", "beta", "eps")}  # fmt: skip
        writer.add_xielu_alpha_p(numbers["alpha_p"])
        writer.add_xielu_alpha_n(numbers["alpha_n"])
        writer.add_xielu_beta(numbers["beta"])
        writer.add_xielu_eps(numbers["eps"])
    for name, values in model.state_dict().items():
        if ".act_fn." in name:
            continue
        if name == "lm_head.weight" and c.tie_word_embeddings:
            continue
        values = values.float().numpy()
        if write_expert_tensor(writer, arch, name, values):
            continue
        if arch in OFFSET and "norm" in name and name.endswith("weight"):
            values = values + 1
        if arch in PAIRED and (".q_proj." in name or ".k_proj." in name):
            values = paired_rows(values, c.num_attention_heads if ".q_proj." in name else c.num_key_value_heads)
        name = name + ".weight" if name.endswith("layer_scalar") else name
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run_gguf_case(program, name, case, seed, file, corpus):
    model = make_model(case[0], {**case[1], **GGUF_CHANGES.get(name, {})}, seed)
    arch = GGUF.get(model.config.model_type)
    if arch is None or name in NOT_GGUF:
        return None
    write_gguf(file, arch, model)
    exact_rotary(model)
    theirs = nll_of(model, ids_of(TEXT))
    ours, code, message = tovamill_nll(program, file, corpus, file.parent / (name + "-out"), [])
    if ours is None:
        return f"REFUSED ({code}) {message}"
    difference = np.array(theirs) - np.array(ours[len(ours) - len(theirs) :])
    worst, mean = np.abs(difference).max(), abs(difference.mean())
    ok = worst <= TOLERANCE and mean <= MEAN_TOLERANCE
    file.with_suffix(".json").write_text(json.dumps({"nll": np.mean(theirs)}))
    return f"{'equal' if ok else 'WRONG'} worst {worst:.2e} mean {mean:.1e} nll {np.mean(theirs):.6f}"


def run_case(program, name, case, seed, folder, corpus):
    class_name, config = case[0], case[1]
    chunk = case[2] if len(case) > 2 else None
    model = make_model(class_name, config, seed)
    packed = with_mxfp4_experts(model, seed) if name.endswith("mxfp4") else {}
    write_model(model, folder)
    if packed:
        replace_tensors(folder, packed)
    exact_rotary(model)
    ids = ids_of(TEXT)
    theirs = []
    for at in range(0, len(ids), chunk or len(ids)):
        theirs += ([] if at == 0 else [None]) + nll_of(model, ids[at : at + (chunk or len(ids))])
    out = folder.parent / (name + "-out")
    options = ["--chunk-tokens", str(chunk)] if chunk else []
    ours, code, message = tovamill_nll(program, folder, corpus, out, options)
    if ours is None:
        return f"REFUSED ({code}) {message}"
    pairs = [(a, b) for a, b in zip(theirs, ours[len(ours) - len(theirs) :]) if a is not None]
    difference = np.array([a - b for a, b in pairs])
    worst, mean = np.abs(difference).max(), abs(difference.mean())
    ok = worst <= TOLERANCE and mean <= MEAN_TOLERANCE
    spread = np.std([a for a, _ in pairs])
    return f"{'equal' if ok else 'WRONG'} worst {worst:.2e} mean {mean:.1e} nll {np.mean([a for a, _ in pairs]):.3f} sd {spread:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--out")
    parser.add_argument("--goldens")
    parser.add_argument("--gguf", action="store_true", help="the same models as GGUF files")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if args.goldens:
        return write_goldens(pathlib.Path(args.goldens), args.only)
    work = pathlib.Path(args.out or tempfile.mkdtemp(prefix="families-"))
    if args.out:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    corpus = work / "text.txt"
    corpus.write_text(TEXT)
    counts = {}
    for number, (name, case) in enumerate(CASES.items()):
        name = name.removeprefix("*")
        if args.only and name not in args.only:
            continue
        if args.gguf:
            result = run_gguf_case(args.program, name, case, 100 + number, work / f"{name}.gguf", corpus)
            if result is None:
                continue
        else:
            result = run_case(args.program, name, case, 100 + number, work / name, corpus)
        print(f"{name:20} {result}", flush=True)
        kind = result.split()[0]
        counts[kind] = counts.get(kind, 0) + 1
    print(counts)
    if not args.out:
        shutil.rmtree(work)
    return 1 if set(counts) != {"equal"} else 0


def write_goldens(folder, only):
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, case) in enumerate(CASES.items()):
        if not name.startswith("*") or (only and name.removeprefix("*") not in only):
            continue
        name = name.removeprefix("*")
        # Letters are below 128.
        small = {"vocab_size": 128, "eos_token_id": None}
        if "vocab_size_per_layer_input" in case[1]:
            small["vocab_size_per_layer_input"] = 128
        model = make_model(case[0], {**case[1], **small}, 100 + number)
        target = folder / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        model.save_pretrained(target, state_dict={k: v.to(torch.bfloat16) for k, v in model.state_dict().items()})
        for f in target.glob("generation_config.json"):
            f.unlink()
        config = json.loads((target / "config.json").read_text()) | {"dtype": "bfloat16"}
        (target / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        exact_rotary(model)
        nll = nll_of(model, ids_of(TEXT))
        (target / "nll.bin").write_bytes(struct.pack(f"<{len(nll)}d", *nll))
        print(f"{name:20} {sum(f.stat().st_size for f in target.iterdir())} bytes, mean NLL {np.mean(nll):.4f}")
    (folder / "text.txt").write_text(TEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
