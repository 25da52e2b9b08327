"""Makes tests/support/goldens/model_files/cases.json: what transformers 5.24 computes for model files in which keys of
config.json and tensors contradict each other, stand elsewhere, or are beside what the model needs.

    python3 tests/support/generators/make_config_goldens.py    (needs torch, transformers, safetensors; half a minute)

Each case changes one of the golden models: `set` and `remove` keys of config.json ("@NaN@" stands for the literal that
Python writes), `tensors` that are added, like another one whose rows are moved on by `roll`, or removed. Its result is
the mean NLL of the golden document's first N_TOKENS tokens (float64, `nll`), or for what must not be computed a part of
the message (`refused`). `report` is where the like was reported.
"""

import json
import pathlib
import re
import shutil
import tempfile

import make_goldens
import numpy as np
import torch
from safetensors.torch import load_file, save_file

FOLDER = make_goldens.FOLDER
N_TOKENS = 200
ROPE = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"


def case(name, base, refused=None, report=None, set=None, remove=(), tensors=()):  # noqa: A002
    return {"name": name, "report": report, "base": base, "set": set or {}, "remove": list(remove),
            "tensors": list(tensors), "refused": refused}  # fmt: skip


def added(name, like=NORM, roll=0):
    return {"name": name, "like": like, "roll": roll}


TAKEN = [
    case("a head of its own beside tie_word_embeddings", "llama-gqa", report="huggingface/transformers#42612",
         tensors=[added("lm_head.weight", EMBEDDING, 1)]),
    case("the embedding again as head", "llama-gqa", report="huggingface/transformers#46456",
         tensors=[added("lm_head.weight", EMBEDDING)]),
    case("only a head, which is tied", "llama1", report="huggingface/transformers#48154",
         set={"tie_word_embeddings": True}, tensors=[{"name": EMBEDDING, "removed": True}]),
    case("rotary frequencies that older versions saved", "llama-gqa", report="huggingface/transformers#35255",
         tensors=[added(f"model.layers.{i}.self_attn.rotary_emb.inv_freq") for i in range(3)]),
    case("the original context at top level", "llama3", set={"rope_scaling": ROPE,
         "original_max_position_embeddings": 256}),
    case("the original context nowhere", "llama3", set={"rope_scaling": ROPE}),
    case("rope_theta in rope_parameters", "llama-gqa", report="deepspeedai/DeepSpeed#8345", remove=["rope_theta"],
         set={"rope_parameters": {"rope_type": "default", "rope_theta": 100000}}),
    case("rope_theta in both places, alike", "llama-gqa", report="vllm-project/vllm#28542",
         set={"rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}}),
    case("both spellings, alike", "llama3", report="vllm-project/vllm#28542",
         set={"rope_parameters": {**ROPE, "original_max_position_embeddings": 256, "rope_theta": 10000.0}}),
    case("Infinity as Python writes it", "llama-gqa", report="ai-dynamo/dynamo#3043",
         set={"time_step_limit": [0.0, "@Infinity@"], "initializer_range": 0.5}),
    case("NaN and -Infinity", "llama-gqa", report="paiml/aprender#268",
         set={"attention_dropout": 0.0, "quirk": ["@NaN@", "@-Infinity@", "a \\\" NaN"]}),
    case("Infinity as transformers 5 writes it", "llama-gqa", report="huggingface/transformers#42959",
         set={"quirk": {"__float__": "Infinity"}}),
    case("is_causal is true", "llama-gqa", report="huggingface/transformers#43705", set={"is_causal": True}),
    case("heads of another size than hidden_size / heads", "qwen3", report="huggingface/candle#2358",
         set={"head_dim": 16}),
    case("products cut into parts", "llama-gqa", set={"pretraining_tp": 2}),
    case("a window of 0 that is switched off", "qwen2", set={"sliding_window": 0}),
    case("a sliding_window in a llama", "llama-gqa", set={"sliding_window": 32}),
    case("neutral values of other families", "llama-gqa", set={"logit_scale": 1.0, "clip_qkv": None,
         "final_logit_softcapping": None, "residual_multiplier": 1, "query_pre_attn_scalar": 8, "num_experts": 0,
         "rotary_pct": 1.0, "norm_eps": 1e-5, "n_layer": 3, "hidden_activation": "silu", "use_qk_norm": False}),
]  # fmt: skip

REFUSED = [
    case("a head's bias", "llama-gqa", "tensor 'lm_head.bias' has no place in a llama of 3 layers",
         "ggml-org/llama.cpp#10759", tensors=[added("lm_head.bias")]),
    case("left-overs of LoRA", "llama-gqa", "q_proj.lora_A.weight'", "lablup/mlxcel#1576",
         tensors=[added("model.layers.0.self_attn.q_proj.lora_A.weight")]),
    case("a layer too many", "llama-gqa", "tensor 'model.layers.3.input_layernorm.weight' has no place",
         tensors=[added("model.layers.3.input_layernorm.weight")]),
    case("another spelling of a layer", "llama-gqa", "'model.layers.00.input_layernorm.weight' has no place",
         tensors=[added("model.layers.00.input_layernorm.weight")]),
    case("norms of queries in a llama", "llama-gqa", "'model.layers.0.self_attn.q_norm.weight' is not supported",
         tensors=[added("model.layers.0.self_attn.q_norm.weight")]),
    case("a value head", "llama-gqa", "tensor 'v_head.summary.weight' has no place",
         tensors=[added("v_head.summary.weight")]),
    case("no head that is not tied", "llama-gqa", "'lm_head.weight' is missing", "NVIDIA/TensorRT-LLM#3324",
         set={"tie_word_embeddings": False}),
    case("two rope_theta", "llama-gqa", "rope_theta is 100000 and rope_parameters has 5000.0",
         "vllm-project/vllm#28542",
         set={"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}),
    case("two scalings", "llama3", "rope_scaling and rope_parameters contradict each other",
         set={"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}}),
    case("a rope_theta that rope_scaling hides", "llama3", "rope_scaling and rope_parameters contradict each other",
         remove=["rope_theta"], set={"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}),
    case("two original contexts", "llama3", "original_max_position_embeddings is 128 and rope_scaling has 256",
         set={"original_max_position_embeddings": 128}),
    case("two types", "llama-gqa", "rope_type is 'linear' and type is 'default'",
         set={"rope_scaling": {"type": "default", "rope_type": "linear", "factor": 2.0}}),
    case("an attention_factor", "llama-gqa", "attention_factor is 1.5, which the scaling 'linear' does not have",
         "ml-explore/mlx-lm#1507", set={"rope_scaling": {"type": "linear", "factor": 2.0, "attention_factor": 1.5}}),
    case("is_causal is false", "llama-gqa", "is_causal is false", "huggingface/transformers#43705",
         set={"is_causal": False}),
    case("bidirectional attention", "qwen3", "use_bidirectional_attention is 'all'", "huggingface/transformers#46077",
         set={"use_bidirectional_attention": "all"}),
    case("NaN where a number counts", "llama-gqa", "rope_theta is NaN, outside", set={"rope_theta": "@NaN@"}),
    case("Infinity where a number counts", "llama-gqa", "rms_norm_eps is Infinity, outside",
         set={"rms_norm_eps": "@Infinity@"}),
    case("other sizes under another name", "llama-gqa", "n_layer is 2 and num_hidden_layers is 3", set={"n_layer": 2}),
    case("another epsilon under another name", "llama-gqa", "layer_norm_eps is 0.001 and rms_norm_eps is 1e-05",
         set={"layer_norm_eps": 1e-3}),
    case("layer_types of a llama", "llama-gqa", "layer_types holds 'sliding_attention'",
         set={"layer_types": ["sliding_attention"] * 3}),
    case("a window that is switched off", "mistral", "use_sliding_window is false but there is a sliding_window",
         set={"use_sliding_window": False}),
    case("a window that layer_types wants and a switch forbids", "qwen3-layers",
         "layer_types says sliding_attention but there is no sliding_window: use_sliding_window is not true",
         set={"use_sliding_window": False}),
    case("biases of a mistral", "mistral", "attention_bias is true", set={"attention_bias": True}),
    case("layers that differ", "llama-gqa", "per_layer_config is object",
         set={"per_layer_config": {"0": {"num_key_value_heads": 6}}}),
    case("weights of another name", "llama-gqa", "transformers_weights is 'other.safetensors'",
         set={"transformers_weights": "other.safetensors"}),
] + [
    case(f"{key} of another family", "llama-gqa", f"{key} is ", set={key: value})
    for key, value in {
        "logit_scale": 0.0625, "final_logit_softcapping": 30.0, "attn_logit_softcapping": 50.0,
        "residual_multiplier": 0.22, "embedding_multiplier": 12.0, "attention_multiplier": 0.015625,
        "logits_scaling": 8.0, "clip_qkv": 8.0, "query_pre_attn_scalar": 256, "partial_rotary_factor": 0.5,
        "use_qk_norm": True, "rope_local_base_freq": 10000.0, "attention_chunk_size": 64, "num_local_experts": 8,
        "some_new_softcap": 20.0, "use_parallel_residual": True, "rope_interleaved": True, "pruned_heads": {"0": [1]},
    }.items()
]  # fmt: skip


def write_files(case, folder):
    base = FOLDER / "models" / case["base"]
    config = json.loads((base / "config.json").read_text())
    for key in case["remove"]:
        config.pop(key, None)
    config |= case["set"]
    (folder / "config.json").write_text(re.sub(r'"@(-?[A-Za-z]+)@"', r"\1", json.dumps(config)))
    tensors = {}
    for file in base.glob("*.safetensors"):
        tensors |= load_file(file)
    for change in case["tensors"]:
        if change.get("removed"):
            del tensors[change["name"]]
        else:
            tensors[change["name"]] = tensors[change["like"]].roll(change["roll"], 0).clone()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def ids_of(base):
    golden = json.loads((FOLDER / f"{base}.json").read_text())
    place = golden["ids"]
    data = (FOLDER / golden["arrays"]).read_bytes()
    return np.frombuffer(data, "<i2", place["shape"][0], place["offset"])[:N_TOKENS].astype(np.int64)


def mean_nll(case):
    from transformers import AutoModelForCausalLM

    folder = pathlib.Path(tempfile.mkdtemp())
    write_files(case, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    shutil.rmtree(folder)
    return float(make_goldens.nll_of(model.double().eval(), ids_of(case["base"])).mean())


def main():
    cases = [{**{k: v for k, v in c.items() if k != "refused"}, "nll": round(mean_nll(c), 7)} for c in TAKEN]
    lines = ",\n".join(json.dumps(c) for c in cases + REFUSED)
    text = f'{{"n_tokens": {N_TOKENS}, "cases": [\n{lines}\n]}}\n'
    (FOLDER / "model_files/cases.json").write_text(text)


if __name__ == "__main__":
    main()
