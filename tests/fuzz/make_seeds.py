#!/usr/bin/env python3
"""Small valid inputs for every parser of fuzz_parsers.cc, each in a folder of its name.

    make_seeds.py FOLDER
"""
import base64
import bz2
import gzip
import json
import lzma
import struct
import sys
from pathlib import Path

RECORDS = b'{"text": "one \\u00e9", "id": 7, "question": ["a?"], "answer": [["b"]]}\n\n{"text": "two", "x": NaN}\n'

CONFIGS = [
    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 16,
     "intermediate_size": 32, "max_position_embeddings": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
     "num_hidden_layers": 2, "rms_norm_eps": 1e-5, "vocab_size": 64, "rope_theta": 1e4,
     "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                      "original_max_position_embeddings": 32}},
    {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 16, "intermediate_size": 32,
     "max_position_embeddings": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "rms_norm_eps": 1e-6,
     "vocab_size": 64, "head_dim": 8, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
     "layer_types": ["full_attention", "sliding_attention"]},
    {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "hidden_size": 16, "intermediate_size": 32,
     "max_position_embeddings": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "rms_norm_eps": 1e-6,
     "vocab_size": 64, "no_rope_layers": [1, 0], "tie_word_embeddings": True},
]

BYTES = [chr(b) for b in list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))]
BYTES += [chr(256 + n) for n in range(256 - len(BYTES))]
TOKENIZER = {
    "version": "1.0", "truncation": None, "padding": None, "normalizer": None,
    "added_tokens": [{"id": 258, "content": "<|end|>", "special": True, "single_word": False, "lstrip": False,
                      "rstrip": False, "normalized": False}],
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|[^\\s\\p{L}]+"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
    "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": {**{c: i for i, c in enumerate(BYTES)}, "he": 256, "hel": 257}, "merges": ["h e", "he l"]},
}

TEMPLATES = [
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "{{ bos_token }}{%- set ns = namespace(n=0) -%}{% for m in messages if m.role == 'user' %}[INST] "
    "{{ m.content | trim }} [/INST]{% endfor %}{# a comment #}{{ raise_exception('no') if messages | length > 9 }}",
]

PATTERNS = [r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"[\p{L}&&[^\p{Han}]]+|[[:alpha:]]|\A.\z|(?<=a)b|a++|\h\R"]


def unigram():
    """With every normalizer, among them a map of characters: a double array of one entry, "a" -> "z"."""
    units = [1 << 10 | 0x61 << 10] + [0] * 255
    charsmap = struct.pack("<I", 4 * len(units)) + struct.pack(f"<{len(units)}I", *units) + b"z\0"
    steps = [{"type": t} for t in ("Nmt", "NFKC", "NFKD", "NFD", "NFC", "Lowercase", "StripAccents")]
    steps += [{"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()},
              {"type": "Strip", "strip_left": True, "strip_right": True},
              {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]
    tokens = [["<unk>", 0.0], ["<s>", 0.0]] + [[f"<0x{b:02X}>", -9.5] for b in range(256)]
    tokens += [["\u2581", -2.5], ["\u2581a", -3.25], ["ab", -4.125], ["b", -5.5], ["Hello", -6.0625]]
    return {"added_tokens": [{"id": 1, "content": "<s>", "special": True}],
            "normalizer": {"type": "Sequence", "normalizers": steps},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
                              {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}]},
            "post_processor": None, "decoder": {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"},
            "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": True, "vocab": tokens}}


def gguf(pre=None, **more):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()

    def value(x):
        if isinstance(x, str):
            return struct.pack("<I", 8) + text(x)
        if isinstance(x, bool):
            return struct.pack("<IB", 7, x)
        if isinstance(x, int):
            return struct.pack("<II", 4, x)
        if isinstance(x, float):
            return struct.pack("<If", 6, x)
        of = 8 if isinstance(x[0], str) else 6 if isinstance(x[0], float) else 5
        items = b"".join(text(i) if of == 8 else struct.pack("<f" if of == 6 else "<i", i) for i in x)
        return struct.pack("<IIQ", 9, of, len(x)) + items

    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + ["a", "b", "ab"]
    keys = {"general.architecture": "llama", "llama.block_count": 2, "llama.context_length": 64,
            "llama.embedding_length": 8, "llama.feed_forward_length": 16, "llama.attention.head_count": 2,
            "llama.attention.head_count_kv": 1, "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.rope.freq_base": 1e4, "llama.vocab_size": len(tokens), "general.alignment": 32,
            "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": [float(-i) for i in range(len(tokens))],
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1, 1, 1], "tokenizer.ggml.bos_token_id": 1,
            "tokenizer.ggml.add_bos_token": True, **more}
    if pre:
        keys |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.merges": ["a b"]}
    out = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys))
    for key, x in keys.items():
        out += text(key) + value(x)
    out += text("rope_freqs.weight") + struct.pack("<IQIQ", 1, 2, 0, 0)
    out += b"\0" * (-len(out) % 32)
    return out + struct.pack("<ff", 1.0, 2.0)


def safetensors():
    header = json.dumps({"__metadata__": {"format": "pt"},
                         "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
                         "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(22)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(kind, payload):
    head = b"TVJ1" + struct.pack("<IQ", kind, len(payload))
    return head + struct.pack("<I", crc32c(head + payload)) + payload


def path(s):
    return bytes([len(s)]) + s.encode()


def journal():
    span, begun = path("/a.jsonl") + bytes([0, 9, 1]), path("/a.jsonl") + bytes([9])
    return (frame(1, b'{"fingerprint": {"corpus": ["/a"]}, "job": "score"}') + frame(4, span) + frame(5, begun)
            + frame(6, path("signal 11")) + frame(3, b'{"complete": true}'))


def chat_templates():
    golden = json.loads((Path(__file__).parent.parent / "support/goldens/chat_templates/templates.json").read_text())
    return [entry["template"] for entry in golden["known"] + golden["snippets"]]


SEEDS = {
    "bzip2": [bz2.compress(RECORDS), bz2.compress(RECORDS) + bz2.compress(RECORDS)],
    "config": [json.dumps(c).encode() for c in CONFIGS],
    "entry": [b"\2" + path("/a.jsonl") + bytes([0, 9, 1]), b"\3" + path("/a") + b"\1", b"\4" + path("signal 9"),
              b"\0" + bytes(64), b"\1" + bytes(64)],
    "gguf": [gguf(), gguf("gemma4"), gguf("deepseek-llm"), gguf("gpt-4o"), gguf("tiny_aya"),
             gguf(**{"split.no": 0, "split.count": 1, "split.tensors.count": 1})],
    "gzip": [gzip.compress(RECORDS), gzip.compress(RECORDS) + gzip.compress(b"")],
    "ini": [b"# run\nmodel = \"a b\"\ncorpus = x\ncorpus = y ; z\ncache-size = 512\n"],
    "jinja": [t.encode() for t in TEMPLATES + chat_templates()],
    "journal": [journal()],
    "jsonl": [RECORDS, b"\xef\xbb\xbf" + RECORDS, b'{"text": 1e999, "id": 99999999999999999999999}\r\n[]\n'],
    "message": [bytes([k]) + bytes(80) for k in (1, 2, 3, 16, 17)],
    "regex": [p.encode() for p in PATTERNS],
    "safetensors": [safetensors()],
    "state": [bytes(128)],
    "status": [json.dumps({"state": "running", "host": "h", "pid": 7, "boot_id": "b", "documents": 3, "failed": 1,
                           "tokens": 99, "fraction": 0.5, "updated_unix_s": 1e9, "seconds_left": 3.0,
                           "ranks": [{"rank": 0, "documents": 3, "silent_s": 0.1}]}).encode()],
    "text": [b"a text \xc3\xa9", b"\xef\xbb\xbfa"],
    "tokenizer": [json.dumps(TOKENIZER).encode(), json.dumps(unigram()).encode()],
    "xz": [lzma.compress(RECORDS), lzma.compress(RECORDS, preset=0) + bytes(4)],
    "zstd": [b"\x28\xb5\x2f\xfd\x00\x58" + struct.pack("<I", len(RECORDS) << 3 | 1)[:3] + RECORDS],
}


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    for name, seeds in SEEDS.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds):
            (folder / f"seed-{i}").write_bytes(seed)


main()
