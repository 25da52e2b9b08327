#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers/families.json: tiny tokenizers with the steps of many families, and what `tokenizers`
makes of texts with them.

    python3 tests/support/generators/make_family_goldens.py [--texts 90] [--out FILE]

Of each text `special` and `plain` (as in make_tokenizer_goldens.py) have the first eight hexadecimal digits of the SHA-256 of
its ids, in decimal, a space behind each; null where the reference, which has control tokens in a Unigram's vocabulary, makes
one of plain text. `charsmap` is a map of characters that sentencepiece 0.2.3 made of "a b" -> "x y", "a" -> "z", "e U+0301" ->
U+00E9, CR and CR LF -> space, "A U+030A" -> U+00C5.
"""
import argparse
import hashlib
import json
import pathlib

import make_auto_class_goldens as classes
import make_tokenizer_goldens as small
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers as n, pre_tokenizers as p, processors, trainers

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers"
CASED = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TAIL = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
O200K = rf"[^\r\n\p{{L}}\p{{N}}]?{CASED}*{SMALL}+{ENDINGS}?|[^\r\n\p{{L}}\p{{N}}]?{CASED}+{SMALL}*{ENDINGS}?|{TAIL}"
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|"
          r"\s+(?!\S)|\s+")
QWEN35 = (ENDINGS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
SEED = ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
EXAONE = (ENDINGS + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|"
          r"\s+(?!\S)|\s+")
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
            r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
AYA = [r"\d{1,3}(?=(?:\d{3})*\b)", O200K]
SPECIAL = ["<pad>", "</s>", "<unk>", "<s>"]


def byte_level(steps, normalizer=None, prefix=False, use_regex=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    has_regex = any(isinstance(step, str) for step in steps)
    splits = [p.Split(Regex(step), "isolated") if isinstance(step, str) else step for step in steps]
    splits.append(p.ByteLevel(add_prefix_space=prefix, use_regex=not has_regex if use_regex is None else use_regex))
    tokenizer.pre_tokenizer = p.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(small.PROSE * 5, trainers.BpeTrainer(
        vocab_size=480, special_tokens=small.CONTROL, show_progress=False, initial_alphabet=p.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return json.loads(tokenizer.to_str())


def unigram(normalizer, pre_tokenizer, byte_fallback=False, charsmap=None):
    tokenizer = Tokenizer(models.Unigram())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer or p.Metaspace()
    byte_tokens = classes.BYTES if byte_fallback else []
    tokenizer.train_from_iterator(small.PROSE * 5, trainers.UnigramTrainer(
        vocab_size=200, special_tokens=SPECIAL + byte_tokens, unk_token="<unk>", show_progress=False))
    out = json.loads(tokenizer.to_str())
    out["added_tokens"] = [t for t in out["added_tokens"] if t["content"] not in byte_tokens]
    out["model"]["byte_fallback"] = byte_fallback
    if pre_tokenizer is None:
        out["pre_tokenizer"] = None
    out["decoder"] = json.loads(decoders.Metaspace().__getstate__())
    if charsmap:
        out["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": charsmap}]}
    return out


def families(charsmap):
    words = p.Metaspace(prepend_scheme="always", split=True)
    spaces = n.Replace(Regex(" {2,}"), " ")
    helium = n.Sequence([n.Prepend("\u2581"), n.Replace(" ", "\u2581")])
    return {
        "o200k": byte_level([O200K]), "cl100k": byte_level([CL100K]), "qwen35": byte_level([QWEN35], n.NFC()),
        "seed": byte_level([SEED]), "deepseek3": byte_level(DEEPSEEK), "tiny_aya": byte_level(AYA, n.NFC()),
        "exaone_moe": byte_level([EXAONE], n.NFC()), "prefix_space": byte_level([], prefix=True),
        "no_regex": byte_level([], use_regex=False), "nfkc": byte_level([], n.NFKC()),
        "nfkd_lower": byte_level([], n.Sequence([n.NFKD(), n.StripAccents(), n.Lowercase()])),
        "nmt_strip": byte_level([], n.Sequence([n.Strip(), n.Nmt()])),
        "unigram_always": unigram(None, p.Metaspace(prepend_scheme="always", split=False)),
        "unigram_first": unigram(None, p.Metaspace(prepend_scheme="first", split=True), True),
        "unigram_never": unigram(n.NFKC(), p.Metaspace(prepend_scheme="never", split=True)),
        "unigram_whole": unigram(helium, None, True),
        "unigram_words": unigram(n.Sequence([n.Nmt(), n.NFKC(), spaces]), p.Sequence([p.WhitespaceSplit(), words])),
        "unigram_charsmap": unigram(None, words, True, charsmap),
    }  # fmt: skip


def digest(ids):
    return hashlib.sha256("".join(f"{i} " for i in ids).encode()).hexdigest()[:8]


def rows_of(source, texts, forbidden=None):
    """`forbidden`: the control tokens of a Unigram."""
    tokenizer = Tokenizer.from_str(json.dumps(source))
    rows = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    is_left_out = [forbidden is not None and (bool(set(row) & set(forbidden)) or "<unk>" in text) for row, text in zip(rows, texts)]
    return [None if out else digest(row) for out, row in zip(is_left_out, rows)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=90)
    parser.add_argument("--out", default=OUT / "families.json")
    options = parser.parse_args()
    old = json.loads((OUT / "families.json").read_text()) if (OUT / "families.json").exists() else {}
    charsmap = old.get("charsmap") or json.loads(pathlib.Path("charsmap.json").read_text())["rule"]
    texts = small.TEXTS + list(small.random_texts(options.texts))[:max(0, options.texts - len(small.TEXTS))]
    made = families(charsmap)
    made["gemma"] = json.loads((OUT / "gemma.json").read_text())
    made["cohere"] = json.loads((OUT / "cohere.json").read_text())
    lines = []
    for name, source in made.items():
        control = [t["id"] for t in source["added_tokens"] if small.is_control(t)]
        plain = dict(source, added_tokens=[t for t in source["added_tokens"] if not small.is_control(t)], post_processor=None)
        is_unigram = source["model"]["type"] == "Unigram"
        control = [i for i in control if i != source["model"].get("unk_id")]
        row = {"special": rows_of(source, texts), "plain": rows_of(plain, texts, control if is_unigram else None), "tokenizer": source}
        lines.append(f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}")
    body = ",\n".join(lines)
    pathlib.Path(options.out).write_text(f'{{"tokenizers": "{tokenizers.__version__}", "texts": {json.dumps(texts)},\n'
                                         f'"charsmap": {json.dumps(charsmap)},\n"families": {{\n{body}\n}}}}\n')
    print(len(made), "families,", len(texts), "texts")


if __name__ == "__main__":
    main()
