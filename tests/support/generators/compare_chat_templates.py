#!/usr/bin/env python3
"""Writes what transformers makes of published chat templates, for tests_engine to compare with (PublishedTemplates).

    python3 tests/support/generators/compare_chat_templates.py OUT TEMPLATE.jinja|MODEL_DIRECTORY...
    TOVAMILL_CHAT_TEMPLATES=OUT build/tests_engine --gtest_filter='*PublishedTemplates*'

OUT gets `cases.jsonl`, a template a line, and tokenizer.json files: the tiny ones of goldens/tokenizers with the control tokens of
the template added, those of Phi-3 with the white space behind them. A directory of a model has a tokenizer of its own. Templates of others are not kept in this repository, nor is OUT.

Per case: `rendered`, by transformers' own Jinja, for each of `messages`, and with the system message of `system`, null where the
template refuses; `ids` of `apply_chat_template(..., sanitize_control_tokens=True)`, by which what looks like a control token in a
message is text. Reasoning is switched off by `switches`, the variables of SWITCHES that the template reads.
"""
import json
import pathlib
import re
import shutil
import sys
from unittest import mock

import jinja2.meta
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import chat_template_utils as utils

BASES = pathlib.Path(__file__).parent.parent / "goldens" / "tokenizers"
MESSAGES = ["Hello", "  Two lines\nof text, padded. \n\n", "", " ", "\n", "42", "caf\u00e9 \u4e2d\u6587 \U0001f600 stra\u00dfe \u0130",
            "\u00a0x\u3000", "a<|im_end|>b<end_of_turn><|end|><s></s>[INST]<|eot_id|><|return|><think>x</think> y",
            "{{ x }} {% if y %} {# z #} {} %s", "She said: \"no\" \\ 'yes' & <b> /no_think /think",
            "Word, word. " * 400 + "\n\n" + "caf\u00e9\n" * 50 + "end "]
SYSTEM = " Be brief.\n <|im_end|> {{ x }}"
SWITCHES = {"enable_thinking": False, "thinking": False, "reasoning": False, "thinking_budget": 0, "thinking_mode": ["disabled", "off", "disabled"],
            "reasoning_effort": ["none", "no_think", "minimal", "low"], "thinking_effort": ["none", "minimal", "low"]}
CONTROL = re.compile(r"<\|[^|<>\s'\"+~{}]{1,60}\|>|<\uff5c[^\uff5c\s'\"{}]{1,60}\uff5c>|<(?:start_of_turn|end_of_turn|bos|eos|s|think|turn\||\|turn)>"
                     r"|</(?:s|think)>|\[/?(?:INST|SYSTEM_PROMPT|THINK|AVAILABLE_TOOLS|MODEL_SETTINGS)\]|\[gMASK\]|<sop>|<seed:[a-z:_]+>"
                     r"|\[\|[a-z]+\|\]|\]~b\]|\[e~\[|<\|[a-z_]+>|<[a-z_]+\|>")


class FixedDate(utils.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def switches_of(jinja):
    environment = utils._compile_jinja_template("").environment
    names = jinja2.meta.find_undeclared_variables(environment.parse(jinja))
    tags = re.findall(r"\{[{%].*?[%}]\}", jinja, re.DOTALL)
    out = {}
    for name, value in SWITCHES.items():
        if name not in names:
            continue
        if isinstance(value, list):
            named = [v for v in value if any(re.search(rf"\b{name}\b", t) and (f"'{v}'" in t or f'"{v}"' in t) for t in tags)]
            value = named[0] if named else value[-1]
        out[name] = value
    return out


def render(jinja, messages, special, switches):
    try:
        return utils.render_jinja_template([messages], chat_template=jinja, add_generation_prompt=True, **special, **switches)[0][0]
    except Exception:  # noqa: BLE001  whatever a template does
        return None


def special_tokens_of(name, jinja):
    bos = "<|begin_of_text|>" if "llama-3" in name.lower() else "<bos>" if "gemma" in name.lower() else "<s>"
    return {"bos_token": bos, "eos_token": "</s>", "pad_token": "<pad>"}


def tokenizer_of(name, jinja, special, out):
    metaspace = any(word in name.lower() for word in ("gemma", "phi-3", "phi_3", "llama-2", "mistral-7b", "zephyr", "mixtral"))
    base = "llama2" if metaspace else "qwen" if len(name) % 2 else "llama3"
    tokenizer = Tokenizer.from_file(str(BASES / f"{base}.json"))
    texts = " ".join(t for t in [jinja, *special.values()])
    rstrip = "phi-3" in name.lower() or "phi_3" in name.lower()
    tokens = sorted(set(CONTROL.findall(texts)) | set(special.values()))
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False, rstrip=rstrip and t.startswith("<|")) for t in tokens])
    file = f"{name}.tokenizer.json"
    tokenizer.save(str(out / file))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=jinja, **special)
    # Here no added token of the form <...> comes out of a message, whether the template has it or not.
    fast.chat_control_tokens = [str(token) for token in fast.added_tokens_decoder.values()]
    return file, fast


def of_directory(path, out):
    tokenizer = AutoTokenizer.from_pretrained(path)
    tokenizer.chat_control_tokens = [str(token) for token in tokenizer.added_tokens_decoder.values()]
    file = f"{path.name}.tokenizer.json"
    shutil.copy(path / "tokenizer.json", out / file)
    special = {key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    return tokenizer.chat_template, special, file, tokenizer


def case_of(path, out):
    name = path.stem
    if path.is_dir():
        jinja, special, file, tokenizer = of_directory(path, out)
    else:
        jinja = path.read_text()
        special = special_tokens_of(name, jinja)
        file, tokenizer = tokenizer_of(name, jinja, special, out)
    switches = switches_of(jinja)
    users = [[{"role": "user", "content": m}] for m in MESSAGES]
    with_system = [[{"role": "system", "content": SYSTEM}, *u] for u in users]
    case = {"name": name, "jinja": jinja, "special_tokens": special, "switches": switches, "tokenizer": file}
    case["tokenizer_config"] = json.loads((path / "tokenizer_config.json").read_text()) if path.is_dir() else {"bos_token": special["bos_token"]}
    case["rendered"] = [render(jinja, u, special, switches) for u in users]
    case["rendered_with_system"] = [render(jinja, u, special, switches) for u in with_system]
    ids = []
    for chat, text in zip(users, case["rendered"]):
        # Real tokenizers have merges over the ends of what looks like a token, which transformers cuts out and we do not.
        cuts = path.is_dir() and CONTROL.search(chat[0]["content"])
        if cuts:
            text = None
        if text is not None:
            text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=False,
                                                 sanitize_control_tokens=True, **switches)
        ids.append(text)
    case["ids"] = ids
    return case


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with mock.patch.object(utils, "datetime", FixedDate), open(out / "cases.jsonl", "w") as file:
        file.write(json.dumps({"messages": MESSAGES, "system": SYSTEM}) + "\n")
        for path in sorted(map(pathlib.Path, sys.argv[2:])):
            try:
                file.write(json.dumps(case_of(path, out)) + "\n")
            except Exception as error:  # noqa: BLE001
                print(f"{path.name}: left out: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)


if __name__ == "__main__":
    main()
