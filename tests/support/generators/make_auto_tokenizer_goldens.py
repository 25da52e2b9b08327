#!/usr/bin/env python3
"""Writes tests/support/goldens/tokenizers/auto.json: what AutoTokenizer makes of random combinations of tokenizer files.

    python3 tests/support/generators/make_auto_tokenizer_goldens.py [--seed 15] [--count 300] [--out FILE]

A case names one of the small tokenizers beside it and holds what is laid over its tokenizer.json (`patch`), and the files
that stand beside it. `expected` holds the SHA-256 of the ids of all texts with special tokens and without, and of the ids
of a chat of one user message where there is a template, or the error of the three. The ids are written in decimal, a space
behind each, a newline behind each text.
"""
import argparse
import hashlib
import json
import pathlib
import random
import tempfile

import transformers
from transformers import AutoTokenizer

GOLDENS = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers"
TEXTS = ["Hello world", " leading space", "", "two  spaces\n\nand lines\r\n\tx", "it's 1859, they've 20,000 leagues", "\u2581odd \u2581\u2581",
         "<s>[INST] the </s>", "a<|im_start|>b <|im_end|> c", "caf\u00e9 e\u0301 \u4e2d\u6587\u5b57 \U0001f600", "the weather there, another leather",
         "<unk> the<unk>", "[X]  the  [X] y the_"]
MESSAGE = "What is 1859? It's raining."
BASES = {"gpt2": "bytes", "llama3": "bytes", "qwen": "bytes", "smollm": "bytes", "tekken": "bytes", "added": "bytes", "llama2": "sp",
         "metaspace_first": "sp", "metaspace_never": "sp", "metaspace_always_split": "sp"}
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
TEMPLATES = [CHATML, CHATML, "{{ bos_token }}" + CHATML, CHATML.replace("'<|im_end|>'", "eos_token"),
             "{{ bos_token }}{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}",
             "{% for m in messages %}{{ bos_token + '[INST] ' + m['content'].strip() + ' [/INST]' }}{% endfor %}",
             "{% if pad_token is defined %}{{ bos_token }}{% endif %}" + CHATML, "{% if unk_token %}" + CHATML + "{% else %}{{ messages[0].content }}{% endif %}",
             CHATML.replace("m['content']", "(m['content'] if m['content']|length < 2000 else m['content'][:2000])"),
             CHATML.replace("m['content']", "m['content'] | upper"), "{{ image_token }}" + CHATML, "{{ messages[0]['content'] }}"]


def template_processing(tokens, single):
    return {"type": "TemplateProcessing", "single": single, "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {t: {"id": t, "ids": ids, "tokens": [t] * len(ids)} for t, ids in tokens.items()}}


class Maker:
    def __init__(self, rng):
        self.rng = rng

    def maybe(self, target, key, choices, share=0.5):
        if self.rng.random() < share:
            target[key] = self.rng.choice(choices)

    def token(self, vocab):
        content = self.rng.choice(["<s>", "</s>", "<|im_end|>", "<|im_start|>", "<s>", "</s>"] + (["the"] if self.rng.random() < 0.1 else [])
                                  + (["<|nowhere|>"] if self.rng.random() < 0.08 else []))
        form = self.rng.random()
        if form < 0.75:
            return content
        flags = {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
        return {"__type": "AddedToken", **flags, **({"special": True} if form < 0.9 else {})}

    def post_processor(self, ids):
        a = {"Sequence": {"id": "A", "type_id": 0}}
        s = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}  # noqa: E731
        bos, eos = {"<s>": [ids["<s>"]]}, {"</s>": [ids["</s>"]]}
        byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
        forms = [None, byte_level, template_processing(bos, [s("<s>"), a]), template_processing(bos, [s("<s>"), a]), template_processing({**bos, **eos}, [s("<s>"), a, s("</s>")]),
                 template_processing(eos, [a, s("</s>")]), template_processing({}, [a]), template_processing({**bos, **eos}, [s("<s>"), s("</s>"), a]),
                 template_processing({"<s>": [ids["<s>"], ids["</s>"]]}, [s("<s>"), a]), template_processing({"<s>": [ids["<|im_end|>"]]}, [s("<s>"), a]),
                 {"type": "Sequence", "processors": [byte_level, template_processing(bos, [s("<s>"), a])]},
                 {"type": "Sequence", "processors": [template_processing(bos, [s("<s>"), a]), template_processing({**bos, **eos}, [s("</s>"), a, s("<s>")])]},
                 {"type": "RobertaProcessing", "sep": ["</s>", ids["</s>"]], "cls": ["<s>", ids["<s>"]], "trim_offsets": True, "add_prefix_space": False},
                 {"type": "BertProcessing", "sep": ["</s>", ids["</s>"]], "cls": ["<s>", ids["<s>"]]}]
        return self.rng.choice(forms)

    def added_decoder(self, added, n_tokens):
        decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in added}
        form = self.rng.random()
        if form < 0.12 and decoder:
            decoder[self.rng.choice(list(decoder))][self.rng.choice(["special", "lstrip", "normalized"])] ^= True
        elif form < 0.2 and decoder:
            del decoder[self.rng.choice(list(decoder))]
        elif form < 0.3:
            decoder[str(n_tokens + self.rng.choice([0, 0, 5]))] = {"content": "<new>", "special": True, "normalized": False}
        return decoder

    def case(self):
        rng = self.rng
        base = rng.choice(list(BASES))
        tokenizer = json.loads((GOLDENS / f"{base}.json").read_text())
        vocab = {**tokenizer["model"]["vocab"], **{t["content"]: t["id"] for t in tokenizer["added_tokens"]}}
        n_tokens = max(vocab.values()) + 1
        patch = {}
        if rng.random() < 0.7:
            patch["post_processor"] = self.post_processor(vocab)
        if rng.random() < 0.1:
            patch["truncation"] = {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}
        model_type = rng.choice(["llama", "llama", "mistral", "smollm3", "qwen3"] + (["qwen2"] if BASES[base] == "bytes" else ["llama"]))
        config, files = {}, {"config.json": {"model_type": model_type}}
        own = ["LlamaTokenizer", "LlamaTokenizerFast"] if BASES[base] == "sp" else ["Qwen2Tokenizer", "Qwen2TokenizerFast", "GPT2Tokenizer", "LlamaTokenizerFast"]
        classes = ["PreTrainedTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend", "FooTokenizer", "CodeLlamaTokenizer"] + own + own
        self.maybe(config, "tokenizer_class", classes, 0.75)
        if rng.random() < 0.05:
            files["config.json"]["tokenizer_class"] = rng.choice(classes)
        for key, share in (("bos_token", 0.7), ("eos_token", 0.8), ("unk_token", 0.35), ("pad_token", 0.45)):
            if rng.random() < share:
                config[key] = None if rng.random() < 0.12 else self.token(vocab)
        if config.get("tokenizer_class", "").startswith(("Qwen2", "GPT2")) or model_type.startswith("qwen"):
            for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
                if key not in config and rng.random() < 0.85:
                    config[key] = rng.choice([None, "</s>"])
        for key, share in (("add_bos_token", 0.25), ("add_eos_token", 0.2)):
            self.maybe(config, key, [True, False, False], share)
        self.maybe(config, "add_prefix_space", [True, False, None], 0.25)
        self.maybe(config, "legacy", [True, False, None], 0.3)
        self.maybe(config, "clean_up_tokenization_spaces", [True, False], 0.4)
        self.maybe(config, "model_max_length", [10, 2048, 1000000000000000019884624838656], 0.4)
        self.maybe(config, "padding_side", ["left", "right"], 0.1)
        self.maybe(config, "split_special_tokens", [True, False], 0.06)
        self.maybe(config, "image_token", ["<|im_start|>"], 0.08)
        self.maybe(config, "something_else", [1, "x", {"a": []}], 0.1)
        if rng.random() < 0.5:
            config["added_tokens_decoder"] = self.added_decoder(tokenizer["added_tokens"], n_tokens)
        self.maybe(config, "additional_special_tokens", [[], ["<|im_start|>", "<|im_end|>"], ["the"]], 0.15)
        self.maybe(config, "extra_special_tokens", [[], ["<|im_start|>"], {"audio_token": "<|im_end|>"}, {}], 0.12)
        if rng.random() < 0.3:
            special = {}
            for key in ("bos_token", "eos_token", "unk_token", "pad_token"):
                if rng.random() < 0.5:
                    value = self.token(vocab)
                    special[key] = value if isinstance(value, str) else {k: v for k, v in value.items() if k not in ("__type", "special")}
            files["special_tokens_map.json"] = special
        if rng.random() < 0.15:
            files["added_tokens.json"] = rng.choice([{}, {"<s>": vocab["<s>"]}, {"<new>": n_tokens}, {"<new>": n_tokens + 3}, {"the": 7}])
        self.chat(config, files)
        if config or rng.random() < 0.8:
            files["tokenizer_config.json"] = config
        return {"base": base, "patch": patch, "files": files}

    def chat(self, config, files):
        rng, form = self.rng, self.rng.random()
        pick = lambda: rng.choice(TEMPLATES)  # noqa: E731
        if form < 0.45:
            config["chat_template"] = pick()
        elif form < 0.55:
            config["chat_template"] = [{"name": "default", "template": pick()}, {"name": "tool_use", "template": pick()}]
        elif form < 0.6:
            config["chat_template"] = {"default": pick(), "rag": pick()}
        elif form < 0.65:
            config["chat_template"] = [{"name": "rag", "template": pick()}]
        elif form < 0.67:
            config["chat_template"] = ""
        if rng.random() < 0.15:
            files["chat_template.jinja"] = pick()
        if rng.random() < 0.06:
            files["additional_chat_templates/rag.jinja"] = pick()
        if rng.random() < 0.05:
            files["chat_template.json"] = {"chat_template": pick()}


def reported():
    """Public reports about what stands beside tokenizer.json."""
    a, s = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 0}}
    bos = template_processing({"<s>": [0]}, [s, a])
    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    named = {**fast, "bos_token": "<s>", "eos_token": "</s>"}
    two = [{"name": "tool_use", "template": TEMPLATES[3]}, {"name": "default", "template": CHATML}]
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    rows = [("transformers#46722", "gpt2", {"post_processor": bos}, {"tokenizer_config.json": named}),
            ("tokenizers#1643", "gpt2", {"post_processor": None}, {"tokenizer_config.json": named}),
            ("tokenizers#785", "gpt2", {"post_processor": None}, {"tokenizer_config.json": {**named, "cls_token": "<s>", "sep_token": "</s>"}}),
            ("transformers#22794", "gpt2", {"post_processor": bos}, {"tokenizer_config.json": {**named, "add_eos_token": True}}),
            ("transformers#23833", "llama2", {}, {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True}}),
            ("transformers#44090", "gpt2", {"post_processor": None}, {"tokenizer_config.json": {**fast, "add_bos_token": True}}),
            ("transformers#31012", "gpt2", {}, {"tokenizer_config.json": fast, "special_tokens_map.json": {"pad_token": {"content": "</s>", **flags, "special": True}}}),
            ("transformers#45920, digits", "smollm", {}, {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}),
            ("transformers#45920, bytes", "llama3", {}, {"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>"}}),
            ("transformers#45812", "tekken", {}, {"tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<s>"}}),
            ("InternLM#715", "gpt2", {}, {"tokenizer_config.json": {**named, "additional_special_tokens": ["<|action_start|>"]}}),
            ("tokenizers#1334", "gpt2", {}, {"tokenizer_config.json": {**named, "added_tokens_decoder": {"0": {"content": "<s>", **flags, "rstrip": True, "special": True}}}}),
            ("onnxruntime-extensions#890", "qwen", {"added_tokens": []}, {"tokenizer_config.json": {**named, "added_tokens_decoder": {"2": {"content": "<|im_start|>", **flags, "special": True}}}}),
            ("transformers#31429", "gpt2", {}, {"tokenizer_config.json": {**named, "chat_template": two}}),
            ("lm-evaluation-harness#1578", "gpt2", {}, {"tokenizer_config.json": {**named, "chat_template": two[:1]}}),
            ("tabbyAPI#374", "gpt2", {}, {"tokenizer_config.json": {**named, "chat_template": TEMPLATES[4]}, "chat_template.jinja": CHATML}),
            ("transformers#37469", "gpt2", {}, {"tokenizer_config.json": named, "additional_chat_templates/rag.jinja": CHATML})]
    return [{"report": report, "base": base, "patch": patch, "files": {"config.json": {"model_type": "llama"}, **files}} for report, base, patch, files in rows]


def digest(rows):
    return hashlib.sha256("".join("".join(f"{i} " for i in row) + "\n" for row in rows).encode()).hexdigest()


def expectation(case):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        tokenizer = json.loads((GOLDENS / f"{case['base']}.json").read_text())
        (root / "tokenizer.json").write_text(json.dumps({**tokenizer, **case["patch"]}))
        for name, content in case["files"].items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
        try:
            auto = AutoTokenizer.from_pretrained(folder)
            rows = [auto(text)["input_ids"] for text in TEXTS]
            plain = [auto(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
        except Exception as e:  # noqa: BLE001
            return {"error": f"{type(e).__name__}: {e}"[:100]}
        out = {"ids": digest(rows), "plain": digest(plain)}
        try:
            chat = auto.apply_chat_template([{"role": "user", "content": MESSAGE}], add_generation_prompt=True, enable_thinking=False,
                                            return_dict=False)
            out["chat"] = digest([chat])
        except Exception as e:  # noqa: BLE001
            out["chat_error"] = f"{type(e).__name__}: {e}"[:60]
        return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--out", default=GOLDENS / "auto.json")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    maker = Maker(random.Random(options.seed))
    cases = []
    for case in [maker.case() for _ in range(options.count)] + reported():
        case["expected"] = expectation(case)
        cases.append(case)
    lines = ",\n".join(json.dumps(case) for case in cases)
    pathlib.Path(options.out).write_text(f'{{"transformers": "{transformers.__version__}", "texts": {json.dumps(TEXTS)}, "message": {json.dumps(MESSAGE)},\n'
                                         f'"cases": [\n{lines}\n]}}\n')
    n = lambda key: sum(key in case["expected"] for case in cases)  # noqa: E731
    print(options.count, "cases:", n("ids"), "with ids,", n("chat"), "with a chat,", n("error"), "errors")


if __name__ == "__main__":
    main()
