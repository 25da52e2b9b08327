#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers/gguf_pre.json: the ids that llama.cpp b11739 gives for texts with every
tokenizer.ggml.pre that gguf_pre_tokenizer.cc has, with Gemma 4's tokenizer and with SentencePiece-like ones.

    python3 tests/support/generators/make_gguf_tokenizer_goldens.py    (needs llama-cpp-py-sync 0.11739, gguf, numpy; seconds)

`special` and `plain` have of each text the first eight hexadecimal digits of the SHA-256 of its ids, in decimal, a space
behind each; null where llama.cpp makes a control token of plain text.
"""
import collections
import hashlib
import json
import pathlib
import random
import re
import tempfile

import gguf
import llama_cpp
import random_gguf
from gguf import GGUFValueType as T

ROOT = pathlib.Path(__file__).resolve().parents[3]
OUT = ROOT / "tests/support/goldens/tokenizers/gguf_pre.json"
G = "tokenizer.ggml."
N_TEXTS = 70
POOLS = ["abcdefgh THE", " \n\t\r\u00a0\u3000\u2009", "0129\u0664\u00bd\u2460", ".,'\"!?<>|_-~/$+=^`", "\u00e9\u00df\u0130\u01c5\u1e9e",
         "\u4e2d\u6587\u5b57\u306e\u30ab\uff76\uff9e\u0800\uac00", "\u0301\u0316\u0323\u093c\u3099", "\U0001f600\u200d\ufe0f\u00a9",
         "\u0927\u094d\u0930\u0627\u0644\u0e40\u0e01\u0e33", "\x01\x1f\u0085\u200b\ufeff", "'s't'll'RE'\u017f", "\u2581 \u2581"]
WORDS = ["Don't", "it'S", "we'LL", "1234567", "12345678", "3.14", "http://a.b/c?d=e", "<s>", "<|im_start|>", "  ", "\n\n", "\n\n\n", " \n",
         "the", "caf\u00e9", "\u041d\u0410\u0422\u041e", "iPhone", "x86_64", "__init__", "\u65e5\u672c\u8a9e", "WORLD", "\u00c9COLE", "12ab",
         "1_000", "  1234", " \n12345", "<|end|> \n\u00a0x", "<|user|>\n", "<s> "]


def random_texts(count, seed):
    rng, out = random.Random(seed), ["", "a", " ", "  ", "\n", "\n\n\n", "x\n\n\ny"]
    while len(out) < count:
        text = ""
        for _ in range(rng.randrange(1, 10)):
            kind = rng.random()
            if kind < 0.35:
                text += rng.choice(WORDS)
            elif kind < 0.9:
                pool = rng.choice(POOLS)
                text += "".join(rng.choice(pool) for _ in range(rng.randrange(1, 6)))
            else:
                text += chr(rng.choice([rng.randrange(1, 0xD800), rng.randrange(0xE000, 0x110000)]))
            text += " " * (rng.random() < 0.3)
        out.append(text)
    return out


CORPUS = " ".join(random_texts(400, 99))[:5000]


def merges_over(symbols, count, joins=lambda a, b: len(a + b) < 8):
    """Merges over the whole corpus: they join across words, and so show where it is cut."""
    out = {}
    while len(out) < count:
        pairs = collections.Counter(p for p in zip(symbols, symbols[1:], strict=False) if p not in out and joins(*p))
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], p))
        out[best] = None
        merged, i = [], 0
        while i < len(symbols):
            is_pair = tuple(symbols[i : i + 2]) == best
            merged.append("".join(best) if is_pair else symbols[i])
            i += 2 if is_pair else 1
        symbols = merged
    return list(out)


def with_specials(tokens, types, specials):
    for content, kind in specials:
        tokens.append(content)
        types.append(kind)
    return {G + "tokens": tokens, G + "token_type": types}


def byte_base():
    letters = random_gguf.byte_letters()
    merges = merges_over([letters[b] for b in CORPUS.encode()], 250)
    tokens = [letters[b] for b in range(256)] + list(dict.fromkeys(a + b for a, b in merges))
    tokens += [w for w in ("\u0120EUR", "\u0120WORLD", "12345678") if w not in tokens]
    first = len(tokens)
    return {G + "model": "gpt2", **with_specials(tokens, [1] * first, [("<|endoftext|>", 3), ("<|im_start|>", 3)]),
            G + "merges": [f"{a} {b}" for a, b in merges], G + "bos_token_id": first, G + "eos_token_id": first}  # fmt: skip


def gemma4_base():
    known = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\u2581.,'\n\u4e2d\u00e9")
    symbols = [c for c in CORPUS.replace(" ", "\u2581") if c in known]
    merges = merges_over(symbols, 200, lambda a, b: ("\n" in a) == ("\n" in b) and len(a + b) < 8)
    tokens, types = ["<pad>", "<eos>", "<bos>", "<unk>"], [3, 3, 3, 2]
    tokens += [f"<0x{b:02X}>" for b in range(256)]
    types += [6] * 256
    more = [t for t in dict.fromkeys(sorted(known) + [a + b for a, b in merges] + ["\n\n\n\n"])]
    return {G + "model": "gemma4", **with_specials(tokens + more, types + [1] * len(more), [("</s>", 3), ("<|tool_response>", 3), ("<h1>", 4)]),
            G + "merges": [f"{a} {b}" for a, b in merges], G + "bos_token_id": 2, G + "eos_token_id": 1, G + "add_bos_token": False}  # fmt: skip


def pieces_base():
    text = CORPUS.replace(" ", "\u2581")
    counts = collections.Counter(text[i : i + k] for i in range(len(text)) for k in (1, 2, 3, 4))
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    pieces = [piece for piece, _ in sorted(counts.items(), key=lambda x: (-x[1], x[0]))[:500] if "<" not in piece]
    scores = [0.0] * len(tokens) + [-float(i // 3) for i in range(len(pieces))]
    specials = [("<|end|>", 3), ("<|user|>", 3), ("[q7q]", 4), ("<|endoftext|>", 3)]
    return {G + "model": "llama", **with_specials(tokens + pieces, [2, 3, 3] + [6] * 256 + [1] * len(pieces), specials),
            G + "scores": scores + [-1000.0] * len(specials), G + "bos_token_id": 1, G + "eos_token_id": 2}  # fmt: skip


def write(metadata, path):
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in metadata.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            kind = {str: T.STRING, float: T.FLOAT32, int: T.INT32}[type(value[0])]
            writer.add_key_value(key, value, T.ARRAY, sub_type=kind)
    sizes = {"block_count": 1, "context_length": 64, "embedding_length": 32, "feed_forward_length": 32, "attention.head_count": 2,
             "vocab_size": len(metadata[G + "tokens"])}  # fmt: skip
    for key, value in sizes.items():
        writer.add_uint32("llama." + key, value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def digests(rows, forbidden=frozenset()):
    text = lambda row: "".join(f"{i} " for i in row)  # noqa: E731
    return [None if set(row) & forbidden else hashlib.sha256(text(row).encode()).hexdigest()[:8] for row in rows]


def main():
    source = (ROOT / "engine/tokenizer_files/gguf_pre_tokenizer.cc").read_text()
    names = [name for name in re.findall(r'NamedKind\{"([^"]+)"', source) if name != "gemma4"]
    bases = {"bytes": byte_base(), "gemma4": gemma4_base(), "pieces": pieces_base()}
    cases = [(name, "bytes", {G + "pre": name}) for name in names]
    cases += [("gemma4", "gemma4", {}), ("gemma4 as a pre-tokenizer", "gemma4", {G + "model": "gpt2", G + "pre": "gemma4"}),
              ("pieces", "pieces", {}), ("no space before", "pieces", {G + "add_space_prefix": False}),
              ("phi-3", "pieces", {"general.name": "Phi-3 mini"}),
              ("phi3, no space before", "pieces", {"general.name": "a PHI3", G + "add_space_prefix": False})]  # fmt: skip
    texts, lines = random_texts(N_TEXTS, 17), []
    for name, base, changes in cases:
        metadata = {**bases[base], **changes}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "case.gguf"
            write(metadata, path)
            ids = llama_cpp.read_texts(path, texts)
        tokens = zip(metadata[G + "tokens"], metadata[G + "token_type"], strict=True)
        control = {i for i, (t, kind) in enumerate(tokens) if kind in (2, 3) or (kind == 4 and t[0] + t[-1] == "<>")}
        lines.append(json.dumps({"name": name, "base": base, "set": changes, "leading": ids["leading"],
                                 "special": digests(ids["special"]), "plain": digests(ids["plain"], control)}))
    shown = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in bases.items())
    OUT.write_text(f'{{"llama_cpp": "b11739", "texts": {json.dumps(texts)},\n"bases": {{\n{shown}\n}},\n"cases": [\n'
                   + ",\n".join(lines) + "\n]}\n")  # fmt: skip
    print(len(cases), "cases,", len(texts), "texts")


if __name__ == "__main__":
    main()
