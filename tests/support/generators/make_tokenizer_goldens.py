#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers: a tiny tokenizer of each family and the ids that `tokenizers` gives for texts.

    python3 tests/support/generators/make_tokenizer_goldens.py

<family>.json is a tokenizer.json. ids.json holds `texts` and, per family, `plain` (control tokens in the text are
ordinary text, made with a copy of the tokenizer that lacks them), a list of ids per text, and `special` (they are parsed),
the same for those texts where it makes a difference, by index.
"""
import json
import pathlib
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?"
          r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|"
          r"\s+(?!\S)|\s+")
CONTROL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]

PROSE = [
    "It was the best of times, it was the worst of times; they're here, he'd said, and I'll say we've seen 1859.",
    "The old man and the sea. The theatre there, the other, then another: gathering weather, rather than leather.",
    "for (int i = 0; i < n; ++i) {\n    sum += x[i] * y[i];\n\treturn sum / 1024.0f;\n}\r\n",
    "\u4e2d\u6587\u5b57\u7b26\u548c\u65e5\u672c\u8a9e\u306e\u6587\u5b57\u3002\u4e2d\u6587\u548c\u4e2d\u6587\u5b57\u3002",
    "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0641\u064a \u0627\u0644\u0639\u0627\u0644\u0645 \u0627\u0644\u0639\u0631\u0628\u064a",
    "\u0926\u0947\u0935\u0928\u093e\u0917\u0930\u0940 \u0932\u093f\u092a\u093f \u092e\u0947\u0902 \u0939\u093f\u0928\u094d\u0926\u0940",
    "caf\u00e9 na\u00efve \u00e5ngstr\u00f6m stra\u00dfe \u0130stanbul \u0141\u00f3d\u017a",
]
TEXTS = PROSE + [
    "", " ", "  ", "a", " a", "a ", "\n", "\n\n\n", " \n \n", "\r\n\r\n", "\t\tx", "'", "'s", "'S 'LL 'Re 'T", "'\u017f x",
    "cafe\u0301 A\u030a e\u0316\u0301 e\u0301\u0316 q\u0323\u0307 \u1100\u1161\u11a8 \u1100\u1161\u11a7",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f \U0001f44d\U0001f3fd",
    "\x00\x01\x1b[0m\x7f\u0080\u0085\u00a0\u200b\ufeff", "\u1680\u2003\u2028\u3000 \u180e x", "\u0301\u0301\u0301",
    " " * 70 + "x", "\n" * 33, "a" * 99, "the" * 40, "\u2581\u2581 \u2581x", "\U0001f600" * 20, "e" + "\u0301\u0316" * 30,
    "1234567 \u0663\u0664\u0665 \u00b2\u00bd\u2167 3.14159e-10", "<s>hello</s><|im_start|>user <think>x</think> <s> </s>",
    "<0x41><0x0A> <unk> <|im_end", "\U00031350\ua7cb\U0001e4d0\U0001ccf0\U00011de0\u9fff\U000e0100\U0010ffff",
    "[X]  the  [X] the[Y]   y the_ thethe the",
]


def random_texts(count):
    rng = random.Random(17)
    pools = ["abcdefgh THE", " \n\t\r\u00a0\u3000", "0129\u0664\u00bd", ".,'\"!?<>|_-", "\u00e9\u00df\u017f\u0130", "\u4e2d\u6587\u5b57",
             "\u0301\u0316\u0323\u093c", "\U0001f600\u200d\ufe0f", "\u0927\u094d\u0930\u0627\u0644", "\x00\x1f\u0085", "'s't'll"]
    for _ in range(count):
        text = ""
        for _ in range(rng.randrange(1, 9)):
            pool = rng.choice(pools + [None])
            for _ in range(rng.randrange(1, 6)):
                c = rng.randrange(0x30000)
                text += rng.choice(pool) if pool else chr(c if not 0xD800 <= c < 0xE000 else c - 0xD000)
        yield text


def byte_level(split, normalizer=None, digits=False, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    steps = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    if split:
        steps.append(pre_tokenizers.Split(Regex(split), "isolated"))
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not split))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(PROSE * 5, trainers.BpeTrainer(
        vocab_size=600, special_tokens=CONTROL, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])])
    return json.loads(tokenizer.to_str())


def sentencepiece(scheme, split):
    """`scheme` None: normalizers instead of Metaspace, as in Llama 2."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme or "always", split=split)
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    tokenizer.train_from_iterator(PROSE * 5, trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>"] + CONTROL + byte_tokens, show_progress=False))
    out = json.loads(tokenizer.to_str())
    out["added_tokens"] = [t for t in out["added_tokens"] if t["content"] not in byte_tokens]
    if not scheme:
        out["pre_tokenizer"] = None
        out["normalizer"] = json.loads(normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
                                       .__getstate__())
    decode = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    out["decoder"] = json.loads(decoders.Sequence(decode).__getstate__())
    return out


def with_added(tokenizer, tokens):
    loaded = Tokenizer.from_str(json.dumps(tokenizer))
    for token in tokens:
        loaded.add_tokens([token])
    return json.loads(loaded.to_str())


def without_bytes(tokenizer, missing):
    """Takes byte tokens out, so that unknown tokens appear; ids stay as they are."""
    for content in missing:
        del tokenizer["model"]["vocab"][content]
    return tokenizer


def is_control(token):
    return token["special"] or (token["content"].startswith("<") and token["content"].endswith(">"))


def main():
    thinking = [AddedToken("<think>", normalized=False), AddedToken("</think>", normalized=False)]
    spaces = [AddedToken("  ", normalized=False), AddedToken("[X]", lstrip=True), AddedToken("[Y]", rstrip=True),
              AddedToken("the", single_word=True)]
    families = {
        "gpt2": byte_level(None),
        "smollm": byte_level(None, digits=True),
        "llama3": byte_level(LLAMA3, ignore_merges=True),
        "qwen": with_added(byte_level(QWEN2, normalizer=normalizers.NFC()), thinking),
        "tekken": byte_level(TEKKEN),
        "added": with_added(byte_level(None), spaces),
        "llama2": sentencepiece(None, False),
        "metaspace_first": sentencepiece("first", False),
        "metaspace_always_split": sentencepiece("always", True),
        "metaspace_never": sentencepiece("never", False),
        "llama2_unknown": without_bytes(sentencepiece(None, False), ["<0xF0>", "<0xE4>"]),
    }
    OUT.mkdir(parents=True, exist_ok=True)
    texts = TEXTS + list(random_texts(50))
    golden = {"texts": texts, "families": {}}
    for name, tokenizer in families.items():
        (OUT / f"{name}.json").write_text(json.dumps(tokenizer, separators=(",", ":")) + "\n")
        plain = dict(tokenizer, added_tokens=[t for t in tokenizer["added_tokens"] if not is_control(t)], post_processor=None)
        ids = {}
        for key, source in (("plain", plain), ("special", tokenizer)):
            loaded = Tokenizer.from_str(json.dumps(source))
            ids[key] = [loaded.encode(text, add_special_tokens=False).ids for text in texts]
        ids["special"] = {i: special for i, special in enumerate(ids["special"]) if special != ids["plain"][i]}
        golden["families"][name] = ids
    (OUT / "ids.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
