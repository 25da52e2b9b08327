"""The tiny random models of the golden numbers: configs in the spellings met in the wild, weights, and their files.

Weights are scaled so that attention is far from uniform and logits spread over several nats; norms and biases are
random too. Matrices are rounded to the dtype that the file holds before anything is computed from them.
"""

import dataclasses
import json

import numpy as np
import reference_tova
import torch
from safetensors.torch import save_file

COMMON = {"hidden_act": "silu", "initializer_range": 0.02, "use_cache": True, "attention_dropout": 0.0}
LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 256,
    "rope_type": "llama3",
}


@dataclasses.dataclass
class Spec:
    name: str
    config: dict
    dtype: torch.dtype  # of the matrices
    vector_dtype: torch.dtype  # of norms and biases
    n_tokens: int  # of the document
    shards: int = 1
    gguf: dict = dataclasses.field(default_factory=dict)  # tensor kind -> GGUF type; empty: no GGUF file
    other_config: dict | None = None  # the same model in another spelling, in the folder <name>-b
    policies: bool = False  # golden numbers of every policy, not only of two
    positions: bool = False  # of two policies with other positions, too


def llama(**changes):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **COMMON, "bos_token_id": 1,
            "eos_token_id": 2, **changes}  # fmt: skip


BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32

LLAMA3 = llama(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    head_dim=16, vocab_size=200, max_position_embeddings=2048, rms_norm_eps=1e-5, tie_word_embeddings=True,
    attention_bias=False, mlp_bias=False, pretraining_tp=1,
)  # fmt: skip

SMOLLM3 = {
    "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", **COMMON, "attention_bias": False,
    "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 3, "hidden_size": 32, "intermediate_size": 64,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 512,
    "mlp_bias": False, "rms_norm_eps": 1e-6, "sliding_window": None, "use_sliding_window": False,
}  # fmt: skip

SPECS = [
    # The first Llama: no num_key_value_heads, head_dim, rope_theta or attention_bias in its config.
    Spec(
        "llama1",
        llama(hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, vocab_size=300,
              max_position_embeddings=2048, rms_norm_eps=1e-6, tie_word_embeddings=False, pad_token_id=-1,
              torch_dtype="float16", transformers_version="4.28.0.dev0"),
        F16, F16, 330,
    ),
    # SmolLM2: grouped queries, tied head, interleaved spelled out.
    Spec(
        "llama-gqa",
        llama(hidden_size=48, intermediate_size=64, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
              vocab_size=256, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
              attention_bias=False, mlp_bias=False, rope_scaling=None, rope_theta=100000, rope_interleaved=False,
              pretraining_tp=1, is_llama_config=True, torch_dtype="bfloat16", transformers_version="4.42.3"),
        BF16, BF16, 608, policies=True,
    ),
    # Llama 3.1 scaling; with more query heads' rows than the hidden size. Also as GGUF: Q and K interleaved, rope_freqs.
    Spec(
        "llama3",
        {**LLAMA3, "rope_theta": 10000.0, "rope_scaling": LLAMA3_ROPE, "torch_dtype": "bfloat16",
         "eos_token_id": [2, 3], "transformers_version": "4.43.0"},
        BF16, BF16, 400,
        other_config={**LLAMA3, "rope_parameters": {**LLAMA3_ROPE, "rope_theta": 10000.0}, "dtype": "bfloat16",
                      "transformers_version": "5.0.0"},
        gguf={"embedding": "Q8_0", "q": "Q8_0", "k": "F16", "v": "Q5_0", "o": "Q4_0", "gate": "Q4_1", "up": "Q5_1",
              "down": "F32"},
    ),
    Spec(
        "llama-bias",
        llama(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
              vocab_size=201, max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=False,
              attention_bias=True, rope_theta=500000.0, rope_scaling=None, torch_dtype="bfloat16"),
        BF16, F32, 330,
    ),
    # A sliding window shorter than the document; two shards with an index.
    Spec(
        "mistral",
        {"architectures": ["MistralForCausalLM"], "model_type": "mistral", **COMMON, "bos_token_id": 1,
         "eos_token_id": 2, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 1024,
         "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": 48, "tie_word_embeddings": False,
         "torch_dtype": "float16", "transformers_version": "4.34.0.dev0"},
        F16, F16, 608, shards=2, policies=True,
    ),
    # Biases on q, k and v though no switch says so; a sliding window that is switched off.
    Spec(
        "qwen2",
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **COMMON, "bos_token_id": 1, "eos_token_id": 2,
         "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 200, "max_position_embeddings": 2048, "max_window_layers": 1,
         "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 40, "use_sliding_window": False,
         "tie_word_embeddings": True, "torch_dtype": "float32", "transformers_version": "4.40.1"},
        F32, F32, 330, gguf={"embedding": "F16", "q": "F32", "k": "F16", "v": "F32", "gate": "BF16"},
    ),
    # Norms on q and k, a head size that is not hidden_size / heads.
    Spec(
        "qwen3",
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **COMMON, "attention_bias": False,
         "bos_token_id": 1, "eos_token_id": 2, "head_dim": 16, "hidden_size": 32, "intermediate_size": 64,
         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256,
         "max_position_embeddings": 1024, "max_window_layers": 2, "rms_norm_eps": 1e-6, "rope_scaling": None,
         "rope_theta": 1000000, "sliding_window": None, "use_sliding_window": False, "tie_word_embeddings": True,
         "torch_dtype": "bfloat16", "transformers_version": "4.51.0"},
        BF16, BF16, 608, policies=True,
        gguf={"embedding": "Q8_0", "q": "BF16", "k": "Q8_0", "v": "Q4_1", "o": "Q5_1", "gate": "Q4_0", "up": "Q5_0",
              "down": "Q8_0"},
    ),
    # Windows of the layers from max_window_layers on.
    Spec(
        "qwen2-layers",
        {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **COMMON, "bos_token_id": 1, "eos_token_id": 2,
         "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
         "num_key_value_heads": 2, "vocab_size": 200, "max_position_embeddings": 2048, "max_window_layers": 1,
         "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 24, "use_sliding_window": True,
         "tie_word_embeddings": True, "torch_dtype": "float32", "transformers_version": "4.40.1"},
        F32, F32, 330,
    ),
    # Windows of the layers that layer_types names.
    Spec(
        "qwen3-layers",
        {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **COMMON, "attention_bias": False,
         "bos_token_id": 1, "eos_token_id": 2, "head_dim": 16, "hidden_size": 32, "intermediate_size": 64,
         "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "num_hidden_layers": 3,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 1024,
         "max_window_layers": 3, "rms_norm_eps": 1e-6, "rope_theta": 1000000, "sliding_window": 48,
         "use_sliding_window": True, "tie_word_embeddings": True, "dtype": "bfloat16", "transformers_version": "5.0.0"},
        BF16, BF16, 400,
    ),
    # Every fourth layer without rotation; said by a list, and by the defaults.
    Spec(
        "smollm3",
        {**SMOLLM3, "num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0], "no_rope_layer_interval": 4,
         "layer_types": ["full_attention"] * 4, "rope_theta": 100000.0, "rope_scaling": None,
         "max_window_layers": 28, "torch_dtype": "bfloat16", "transformers_version": "4.54.0.dev0"},
        BF16, BF16, 608, positions=True,
        other_config={**SMOLLM3, "num_hidden_layers": 4, "dtype": "bfloat16", "transformers_version": "5.0.0",
                      "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}},
        gguf={"embedding": "Q8_0", "q": "Q8_0", "k": "BF16", "v": "Q4_1", "o": "F16", "gate": "Q4_0", "up": "Q5_0",
              "down": "F32"},
    ),
    # Windows where there is no rotation.
    Spec(
        "smollm3-window",
        {**SMOLLM3, "num_hidden_layers": 3, "no_rope_layer_interval": 2, "use_sliding_window": True,
         "sliding_window": 40, "rope_theta": 100000.0, "torch_dtype": "float16", "transformers_version": "4.54.0"},
        F16, F16, 330,
    ),
]  # fmt: skip


def head_dim_of(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def random_weights(spec, seed):
    """Tensors by their Hugging Face names, rounded to the dtypes of the file."""
    c, rng = spec.config, np.random.default_rng(seed)
    hidden, inner, dim = c["hidden_size"], c["intermediate_size"], head_dim_of(c)
    q_size = c["num_attention_heads"] * dim
    kv_size = c.get("num_key_value_heads", c["num_attention_heads"]) * dim
    tied = reference_tova.is_tied(c)
    qk_norm = c["model_type"] == "qwen3"
    tensors = {}

    def matrix(name, rows, columns, gain):
        tensors[name] = torch.from_numpy(rng.normal(0, gain / np.sqrt(columns), (rows, columns))).to(spec.dtype)

    def vector(name, size, mean, std):
        tensors[name] = torch.from_numpy(rng.normal(mean, std, size)).to(spec.vector_dtype)

    matrix("model.embed_tokens.weight", c["vocab_size"], hidden, 3.0 if tied else np.sqrt(hidden))
    for i in range(c["num_hidden_layers"]):
        at = f"model.layers.{i}."
        gain = 0.7 if qk_norm else 1.6  # the gains of q and k; with q/k norms their weights decide instead
        vector(at + "input_layernorm.weight", hidden, 1.0, 0.2)
        matrix(at + "self_attn.q_proj.weight", q_size, hidden, gain)
        matrix(at + "self_attn.k_proj.weight", kv_size, hidden, gain)
        matrix(at + "self_attn.v_proj.weight", kv_size, hidden, 1.0)
        matrix(at + "self_attn.o_proj.weight", hidden, q_size, 0.9)
        if c["model_type"] == "qwen2" or c.get("attention_bias"):
            for p, size in (("q", q_size), ("k", kv_size), ("v", kv_size)):
                vector(at + f"self_attn.{p}_proj.bias", size, 0.0, 0.5)
        if c.get("attention_bias"):
            vector(at + "self_attn.o_proj.bias", hidden, 0.0, 0.2)
        if qk_norm:
            vector(at + "self_attn.q_norm.weight", dim, 1.6, 0.4)
            vector(at + "self_attn.k_norm.weight", dim, 1.6, 0.4)
        vector(at + "post_attention_layernorm.weight", hidden, 1.0, 0.2)
        matrix(at + "mlp.gate_proj.weight", inner, hidden, 1.2)
        matrix(at + "mlp.up_proj.weight", inner, hidden, 1.2)
        matrix(at + "mlp.down_proj.weight", hidden, inner, 0.8)
    vector("model.norm.weight", hidden, 1.0, 0.2)
    if not tied:
        matrix("lm_head.weight", c["vocab_size"], hidden, 3.0)
    return tensors


def random_document(vocab_size, n_tokens, seed):
    """Motifs that come back, with errors, between stretches of noise; ids from 4 up (0 to 3 are control tokens)."""
    rng = np.random.default_rng(seed)
    motifs = [rng.integers(4, vocab_size, rng.integers(4, 24)) for _ in range(6)]
    ids = []
    while len(ids) < n_tokens:
        if rng.random() < 0.35:
            ids.extend(rng.integers(4, vocab_size, rng.integers(1, 12)))
        else:
            motif = motifs[rng.integers(len(motifs))].copy()
            motif[rng.random(len(motif)) < 0.1] = rng.integers(4, vocab_size)
            ids.extend(motif)
    return np.array(ids[:n_tokens], np.int32)


def write_hf(folder, config, tensors, shards):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = list(tensors)
    weight_map, total = {}, 0
    for s in range(shards):
        part = {n: tensors[n] for n in names[s * len(names) // shards : (s + 1) * len(names) // shards]}
        file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map.update({n: file for n in part})
        total += sum(t.numel() * t.element_size() for t in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def interleave_rows(matrix, n_heads):
    """llama.cpp's row order of Q and K: rotary dimension i and i + head_dim / 2 become 2i and 2i + 1."""
    rows, columns = matrix.shape
    return matrix.reshape(n_heads, 2, rows // n_heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(file, spec, tensors):
    """Writes a GGUF file with the types of spec.gguf; returns the weights it holds, by Hugging Face names, float32."""
    import gguf

    c = spec.config
    arch = c["model_type"]
    writer = gguf.GGUFWriter(file, arch)
    writer.add_name(f"tovamill test {spec.name}")
    writer.add_block_count(c["num_hidden_layers"])
    writer.add_context_length(c["max_position_embeddings"])
    writer.add_embedding_length(c["hidden_size"])
    writer.add_feed_forward_length(c["intermediate_size"])
    writer.add_head_count(c["num_attention_heads"])
    writer.add_head_count_kv(c["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(c["rms_norm_eps"])
    writer.add_rope_freq_base(float(c["rope_theta"]))
    writer.add_vocab_size(c["vocab_size"])
    if "head_dim" in c:
        writer.add_key_length(c["head_dim"])
        writer.add_value_length(c["head_dim"])
        writer.add_rope_dimension_count(c["head_dim"])
    writer.add_tokenizer_model("none")

    held = {}
    layer = {name: short for short, name in reference_tova.HF_LAYER.items()}

    def add(hf_name, gguf_name, short):
        data = tensors[hf_name].float().numpy()
        kind = gguf.GGMLQuantizationType[spec.gguf.get(short, "F32") if data.ndim == 2 else "F32"]
        rows = data
        if arch in ("llama", "smollm3") and short in ("q", "k"):
            rows = interleave_rows(data, c["num_attention_heads" if short == "q" else "num_key_value_heads"])
        if kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(gguf_name, np.ascontiguousarray(rows))
            held[hf_name] = torch.from_numpy(data.copy())
            return
        writer.add_tensor(gguf_name, gguf.quants.quantize(rows, kind), raw_dtype=kind)
        # Blocks lie within rows, so that reordering rows and rounding commute.
        held[hf_name] = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(data, kind), kind).copy())

    add("model.embed_tokens.weight", "token_embd.weight", "embedding")
    if "rope_scaling" in c and c["rope_scaling"]:
        s = c["rope_scaling"]
        divisors = reference_tova.llama3_divisors(
            reference_tova.default_inv_freq(c["rope_theta"], head_dim_of(c)),
            s["factor"], s["low_freq_factor"], s["high_freq_factor"], s["original_max_position_embeddings"],
        )  # fmt: skip
        writer.add_tensor("rope_freqs.weight", divisors.astype(np.float32))
    for i in range(c["num_hidden_layers"]):
        for hf_name, short in layer.items():
            if f"model.layers.{i}.{hf_name}" in tensors:
                add(f"model.layers.{i}.{hf_name}", f"blk.{i}.{reference_tova.GGUF_LAYER[short]}", short)
    add("model.norm.weight", "output_norm.weight", "final_norm")
    if not reference_tova.is_tied(c):
        add("lm_head.weight", "output.weight", "head")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held
