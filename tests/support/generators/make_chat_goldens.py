#!/usr/bin/env python3
"""Writes tests/support/goldens/chat_templates/templates.json: chat templates of the shapes that models come with, and what Jinja
renders for them with the settings of Hugging Face's `apply_chat_template`.

    python3 tests/support/generators/make_chat_goldens.py

`known`: per template `name` (the model family whose shape it has), `family` (what we call it), `template`, `bos` and
`rendered`, one text per entry of `messages`. `ids`: per tiny tokenizer of goldens/tokenizers and template, the ids of the
rendered texts, control tokens parsed, null where the message itself holds some; as `apply_chat_template` gives them. `refused`: templates that must be refused, though Jinja renders them.
"""
import json
import pathlib

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "chat_templates" / "templates.json"
MESSAGES = ["Hello", "  Two lines\nof text, padded. \n\n", "caf\u00e9 \u4e2d\u6587 {document} {{ x }} <|im_end|>", "\u00a0x\u3000"]

CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SMOLLM2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
QWEN2 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n"
         "You are a helpful assistant.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
         "+ '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
QWEN15 = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a "
          "helpful assistant<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content']}}"
          "{% if (loop.last and add_generation_prompt) or not loop.last %}{{ '<|im_end|>' + '\\n'}}{% endif %}{% endfor %}"
          "{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
YI = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}" + CHATML
YI_SYSTEM = ("{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]['content'] %}{% endif %}"
             "{% if system_message is defined %}{{ system_message }}{% endif %}{% for message in messages %}{% set content = "
             "message['content'] %}{% if message['role'] == 'user' %}{{ '<|im_start|>user\\n' + content + '<|im_end|>\\n"
             "<|im_start|>assistant\\n' }}{% elif message['role'] == 'assistant' %}{{ content + '<|im_end|>' + '\\n' }}"
             "{% endif %}{% endfor %}")
TOOLS = r'''
        {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
'''
QWEN25 = r'''{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
''' + TOOLS + r'''{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
'''
QWEN3_HEAD = r'''{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
''' + TOOLS + r'''{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
'''
QWEN3 = QWEN3_HEAD + r'''    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}'''
QWEN3_2507 = QWEN3_HEAD + "{%- endif %}"
QWEN3_THINKING = QWEN3_HEAD.replace(r"{{- '<|im_start|>assistant\n' }}", r"{{- '<|im_start|>assistant\n<think>\n' }}") + "{%- endif %}"
LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] "
          "%}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
          "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
          "user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = "
          "'<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}"
          "{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif "
          "message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
LLAMA2_DEFAULT = LLAMA2.replace("{% set system_message = false %}",
                                "{% set system_message = 'You are a helpful, respectful and honest assistant.' %}")
MISTRAL1 = ("{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
            "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
            "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == "
            "'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are "
            "supported!') }}{% endif %}{% endfor %}")
MISTRAL2 = r'''{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token}}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported, with the exception of an initial optional system message!') }}
    {%- endif %}
{%- endfor %}
'''
MISTRAL3 = r'''{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- This block checks for alternating user/assistant messages, skipping tool calling messages #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {{- tool | tojson }}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
'''
LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
          "message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
          "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
          "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")
LLAMA31 = r'''{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message + builtin tools #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if builtin_tools is defined or tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\n\n"}}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "You have access to the following functions. To call a function, please respond with JSON for a function call." }}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{#- Custom tools are passed in a user message with some extra guidance #}
{%- if tools_in_user_message and not tools is none %}
    {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
'''
LLAMA32 = LLAMA31.replace('''    {%- set date_string = "26 Jul 2024" %}
''', '''    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
''')
KNOWN = [("SmolLM2-Instruct", "chatml", SMOLLM2, ""), ("SmolLM-Instruct", "chatml", CHATML, ""), ("Qwen1.5-Chat", "chatml", QWEN15, ""),
         ("Qwen2-Instruct", "chatml", QWEN2, ""), ("Qwen2.5-Instruct", "qwen", QWEN25, ""), ("Qwen3", "qwen", QWEN3, ""),
         ("Qwen3-Instruct-2507", "chatml", QWEN3_2507, ""), ("Yi-Chat", "chatml", YI, "<|startoftext|>"),
         ("Yi-1.5-Chat", "chatml", YI_SYSTEM, "<|startoftext|>"), ("Llama-2-chat", "llama2", LLAMA2, "<s>"),
         ("Llama-2-chat with a default system message", "llama2", LLAMA2_DEFAULT, "<s>"),
         ("Mistral-Instruct-v0.1", "mistral", MISTRAL1, "<s>"), ("Mistral-Instruct-v0.2", "mistral", MISTRAL2, "<s>"),
         ("Mistral-Instruct-v0.3", "mistral", MISTRAL3, "<s>"), ("Llama-3-Instruct", "llama3", LLAMA3, "<|begin_of_text|>"),
         ("Llama-3 with its BOS written out", "llama3", LLAMA3.replace("bos_token", "'<|begin_of_text|>'"), "<|begin_of_text|>"),
         ("Llama-3.1-Instruct", "llama3", LLAMA31, "<|begin_of_text|>"), ("Llama-3.2-Instruct", "llama3", LLAMA32, "<|begin_of_text|>"),
         ("Windows newlines", "chatml", SMOLLM2.replace("\n", "\r\n") + "\r\n", "")]

LOOP = "{% for m in messages %}"
REFUSED = {
    "Zephyr": LOOP + "{{ '<|user|>\\n' + m['content'] + eos_token }}{% endfor %}{{ '<|assistant|>' }}",
    "Gemma": LOOP + "{{ '<start_of_turn>user\\n' + m['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{{ '<start_of_turn>model\\n' }}",
    "Phi-3": LOOP + "{{ '<|user|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}{{ '<|assistant|>\\n' }}",
    "a model that always thinks": QWEN3_THINKING,
    "ChatML in capitals": CHATML.replace("message['content']", "message['content'] | upper"),
    "ChatML with a cut message": CHATML.replace("message['content']", "message['content'][:5]"),
    "ChatML that strips other characters": CHATML.replace("message['content']", "message['content'].strip(' \\n')"),
    "ChatML with the message twice": CHATML.replace("message['content']", "message['content'] + message['content']"),
    "ChatML with another role": CHATML.replace("message['role']", "'human'"),
    "ChatML with another start of the answer": CHATML.replace("assistant\\n", "bot\\n"),
    "ChatML without its generation prompt": CHATML.split("{% if add_gen")[0],
    "ChatML with a token in its system message": QWEN2.replace("helpful", "<|secret|>"),
    "ChatML with an EOS": CHATML.replace("'<|im_end|>'", "eos_token"),
    "Mistral with a BOS inside": MISTRAL1.replace("'[INST] '", "'[INST] ' + bos_token"),
    "Mistral with a text before": MISTRAL1.replace("'[INST] '", "'[INST] Be nice. '"),
    "no message": "{{ bos_token }}Hello",
}


def render(template, message, bos, **more):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    messages = [{"role": "user", "content": message}]
    return environment.from_string(template).render(messages=messages, tools=None, documents=None, add_generation_prompt=True,
                                                    enable_thinking=False, bos_token=bos, eos_token="</s>", **more)


# Expressions and white space: what `{...}` prints with a = "Abc", n = 7, l = [1, 2, 3], o = {"k": "v"}.
SNIPPETS = [
    "{{ 'a' if n == 7 else 'b' }}{{ 'a' if n > 7 }}{{ ('x' if n < 3 else 'y') ~ n }}", "{{ l[-1] }}{{ l[1:]|length }}{{ l[::-1][0] }}{{ l[:-1]|last }}",
    "{{ n % 4 + 2 * 3 - 1 }}{{ -n }}{{ (-n) % 4 }}{{ 1 < n <= 7 }}", "{{ not n == 7 }}{{ n is defined and q is not defined }}{{ q is none }}",
    "{{ a.strip('A') }}{{ a|upper }}{{ a.split('b')[1] }}{{ 'b' in a }}{{ 'k' in o }}{{ 'z' not in l }}", "{{ o.k }}{{ o['k'] }}{{ o.get('z', 'd') }}{{ o.z }}",
    "{{ q or 'none' }}{{ none or q or 0 }}{{ a and n }}{{ '' and a }}", "{{ none }}{{ true }}{{ false }}",
    "{% for x in l %}{{ x }}{{ loop.index }}{{ loop.last }}{{ loop.previtem }},{% else %}none{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}",
    "{% set ns = namespace(i=0) %}{% for x in l %}{% set ns.i = ns.i + x %}{% set y = x %}{% endfor %}{{ ns.i }}{{ y }}",
    "  {% if n %}  \n  x\n  {% endif %}\n  y {# c #}\n{# d #}\nz\n", "a\n  {{- n -}}  \n b {%- if n %} c {% endif -%} \n d\n\n", "x {%+ if n %}\n y{% endif +%}\nz",
    "{{ '\\u00e9\\x41\\'\\\\ \\q' \"two\" }}{{ '}}' }}{{ \"%}\" }}", "{{ l|first }}{{ a|length }}{{ q|default('d') }}{{ a is string }}{{ l is mapping }}{{ o is mapping }}",
    "{{ [a, n]|length }}{{ (l + [4])|last }}{{ a ~ none ~ true ~ n }}", "{{ true == 1 }}{{ '1' == 1 }}{{ l == [1, 2, 3] }}",
    "{% if q %}1{% elif n == 7 %}2{% elif true %}3{% else %}4{% endif %}{% if a is not string %}5{% else %}6{% endif %}",
]
VARIABLES = {"a": "Abc", "n": 7, "l": [1, 2, 3], "o": {"k": "v"}}


# Which templates are tokenised with which of make_tokenizer_goldens.py's tokenizers.
TOKENIZED = {"smollm": ["SmolLM2-Instruct"], "qwen": ["Qwen2.5-Instruct", "Qwen3"], "llama3": ["Yi-Chat"],
             "llama2": ["Llama-2-chat", "Mistral-Instruct-v0.2", "SmolLM2-Instruct"],
             "metaspace_first": ["Mistral-Instruct-v0.1", "Mistral-Instruct-v0.2", "Mistral-Instruct-v0.3", "Yi-Chat"]}


def ids_of(known):
    rendered = {entry["name"]: entry["rendered"] for entry in known}
    out = {}
    for name, templates in TOKENIZED.items():
        tokenizer = Tokenizer.from_file(str(OUT.parent.parent / "tokenizers" / f"{name}.json"))
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
        out[name] = {template: [None if "<|im_end|>" in message else encode(text)
                                for message, text in zip(MESSAGES, rendered[template])] for template in templates}
    return out


def main():
    known = [{"name": name, "family": family, "template": template, "bos": bos,
              "rendered": [render(template, message, bos) for message in MESSAGES]} for name, family, template, bos in KNOWN]
    for template in REFUSED.values():
        render(template, MESSAGES[0], "<s>")  # Jinja itself has nothing against them
    snippets = [{"template": snippet, "rendered": render(snippet, "", "", **VARIABLES)} for snippet in SNIPPETS]
    golden = {"messages": MESSAGES, "known": known, "ids": ids_of(known), "refused": REFUSED, "variables": VARIABLES, "snippets": snippets}
    OUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
