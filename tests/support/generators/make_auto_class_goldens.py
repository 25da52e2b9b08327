#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers/{gemma,cohere,auto_classes}.json: which class AutoTokenizer chooses for the model
types of many families, and what the classes with rules of their own make of a file.

    python3 tests/support/generators/make_auto_class_goldens.py [--seed 17] [--count 160] [--out FILE]

The cases are those of make_auto_tokenizer_goldens.py, without chat templates.
"""
import argparse
import json
import pathlib
import random

import make_auto_tokenizer_goldens as auto
import make_tokenizer_goldens as small
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

BYTES = [f"<0x{b:02X}>" for b in range(256)]
CLASSES = ["PreTrainedTokenizerFast", "GemmaTokenizer", "GemmaTokenizerFast", "CohereTokenizer", "CohereTokenizerFast", "GPT2Tokenizer",
           "LlamaTokenizer", "LlamaTokenizerFast", "Qwen2Tokenizer", "TokenizersBackend", "GPTNeoXTokenizer"]
TYPES = ["gemma", "gemma2", "gemma3", "gemma3_text", "gemma4", "gemma4_text", "cohere", "cohere2", "phi3", "olmo2", "olmo3", "smollm3", "granite", "mistral", "ministral",
         "seed_oss", "arcee", "exaone4", "glm4", "glm", "stablelm", "starcoder2", "helium", "ernie4_5", "hunyuan_v1_dense", "apertus",
         "nemotron", "gpt_oss", "qwen3", "qwen3_5_text", "qwen2", "llama", "gpt_neox", "olmo"]


def gemma():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.train_from_iterator(small.PROSE * 5, trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"] + BYTES, show_progress=False))
    out = json.loads(tokenizer.to_str())
    out["added_tokens"] = [t for t in out["added_tokens"] if t["content"] not in BYTES]
    out["pre_tokenizer"] = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    out["decoder"] = json.loads(decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]).__getstate__())
    spaces = [AddedToken(content, normalized=False) for content in ("\n\n", "\n\n\n", "\u2581\u2581", "<h1>", "[multimodal]")]
    turns = [AddedToken(content, special=True, normalized=False) for content in ("<start_of_turn>", "<end_of_turn>")]
    out = small.with_added(out, spaces + turns)
    out["post_processor"] = json.loads(processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)]).__getstate__())
    return out


def cohere():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(small.PROSE * 5, trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<EOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.TemplateProcessing(single="<BOS_TOKEN> $A", special_tokens=[("<BOS_TOKEN>", 5)])
    return json.loads(tokenizer.to_str())


class Maker(auto.Maker):
    def case(self):
        rng = self.rng
        base = rng.choice(["gemma", "gemma", "cohere", "cohere", "smollm", "llama3", "qwen", "llama2"])
        tokenizer = json.loads((auto.GOLDENS / f"{base}.json").read_text())
        config, files, patch = {}, {"config.json": {"model_type": rng.choice(TYPES)}}, {}
        self.maybe(config, "tokenizer_class", CLASSES, 0.8)
        if rng.random() < 0.05:
            files["config.json"]["tokenizer_class"] = rng.choice(CLASSES)
        vocab = {**tokenizer["model"]["vocab"], **{t["content"]: t["id"] for t in tokenizer["added_tokens"]}}
        if rng.random() < 0.2:
            patch["post_processor"] = self.post_processor(vocab)
        own = {"gemma": ["<bos>", "<eos>", "<pad>"], "cohere": ["<BOS_TOKEN>", "<EOS_TOKEN>", "<PAD>"]}.get(base, ["<s>", "</s>", "<|im_end|>"])
        for key, content in zip(("bos_token", "eos_token", "pad_token"), own):
            if rng.random() < 0.7:
                config[key] = content if rng.random() < 0.8 else {"__type": "AddedToken", "content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
        if "unk_token" not in config and base not in ("gemma", "cohere"):
            config["unk_token"] = rng.choice([None, "</s>"])
        elif rng.random() < 0.3:
            config["unk_token"] = rng.choice(["<unk>" if base == "gemma" else "<UNK>", None])
        self.maybe(config, "add_prefix_space", [True, False, None], 0.2)
        self.maybe(config, "add_bos_token", [True, False], 0.15)
        self.maybe(config, "legacy", [True, False], 0.1)
        self.maybe(config, "extra_special_tokens", [[], ["<|im_start|>"], {"image_token": "<|im_end|>"}], 0.15)
        if rng.random() < 0.3:
            config["added_tokens_decoder"] = self.added_decoder(tokenizer["added_tokens"], max(vocab.values()) + 1)
        files["tokenizer_config.json"] = config
        return {"base": base, "patch": patch, "files": files}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--out", default=auto.GOLDENS / "auto_classes.json")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    for name, make in (("gemma", gemma), ("cohere", cohere)):
        path = auto.GOLDENS / f"{name}.json"
        if not path.exists():
            path.write_text(json.dumps(make(), separators=(",", ":")) + "\n")
    maker = Maker(random.Random(options.seed))
    cases = [maker.case() for _ in range(options.count)]
    for case in cases:
        case["expected"] = auto.expectation(case)
    lines = ",\n".join(json.dumps(case) for case in cases)
    pathlib.Path(options.out).write_text(f'{{"transformers": "{transformers.__version__}", "texts": {json.dumps(auto.TEXTS)}, "message": {json.dumps(auto.MESSAGE)},\n'
                                         f'"cases": [\n{lines}\n]}}\n')
    print(options.count, "cases:", sum("ids" in case["expected"] for case in cases), "with ids")


if __name__ == "__main__":
    main()
