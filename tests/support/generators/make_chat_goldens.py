#!/usr/bin/env python3
"""Writes tests/support/goldens/chat_templates/templates.json: chat templates of the shapes that models come with, and what Jinja
renders for them with the settings of Hugging Face's `apply_chat_template`.

    python3 tests/support/generators/make_chat_goldens.py

`known`: per template `name` (the model family whose shape it has), `template`, `bos` and `rendered`, one text per entry of
`messages`, null where the template refuses it; `with_system`: the same behind the system message `system`. `ids`: per tiny
tokenizer of goldens/tokenizers and template, the ids of the rendered texts, control tokens parsed, null where the message itself
holds some; as `apply_chat_template` gives them. `snippets`: statements and expressions with what they print, `refused_snippets`:
those that Jinja refuses, too.
"""
import datetime
import json
import pathlib

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

OUT = pathlib.Path(__file__).parent.parent / "goldens" / "chat_templates" / "templates.json"
MESSAGES = ["", "Hello", "  Two lines\nof text, padded. \n\n", "caf\u00e9 \u4e2d\u6587 {document} {{ x }} <|im_end|>", "\u00a0x\u3000"]

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
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
         "{% for m in messages %}{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
         "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}")
HARMONY = r"""{%- macro system(effort='medium') -%}
    {{- 'Date: ' + strftime_now('%Y-%m-%d') + '\n' }}
    {{- 'Reasoning: ' + effort }}
{%- endmacro -%}
{{- '<|start|>system<|message|>' + system(effort=reasoning_effort | default('medium')) + '<|end|>' }}
{%- for m in messages %}
    {%- if m.role == 'system' %}{{- '<|start|>developer<|message|># Instructions\n\n' ~ m.content ~ '<|end|>' }}
    {%- elif m.role == 'assistant' %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|return|>' }}
    {%- else %}{{- '<|start|>' ~ m.role ~ '<|message|>' ~ m.content ~ '<|end|>' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
<|start|>assistant
{%- endif %}"""
KNOWN += [
    ("Zephyr", "", LOOP + "{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}{{ '<|assistant|>\\n' }}", ""),
    ("Gemma", "", GEMMA, "<bos>"),
    ("Phi-3", "", LOOP + "{{ '<|user|>\\n' + m['content'] + '<|end|>\\n' }}{% endfor %}{{ '<|assistant|>\\n' }}", ""),
    ("gpt-oss", "", HARMONY, ""),
    ("a model that always thinks", "", QWEN3_THINKING, ""),
    ("ChatML in capitals", "", CHATML.replace("message['content']", "message['content'] | upper"), ""),
    ("ChatML in small letters", "", CHATML.replace("message['content']", "message['content'].lower()"), ""),
    ("ChatML with a cut message", "", CHATML.replace("message['content']", "message['content'][:5]"), ""),
    ("ChatML that strips other characters", "", CHATML.replace("message['content']", "message['content'].strip(' \\n')"), ""),
    ("ChatML with the message twice", "", CHATML.replace("message['content']", "message['content'] + message['content']"), ""),
    ("ChatML with the message turned around", "", CHATML.replace("message['content']", "message['content'] | reverse"), ""),
    ("ChatML with the message as JSON", "", CHATML.replace("message['content']", "message['content'] | tojson"), ""),
    ("ChatML with characters replaced", "", CHATML.replace("message['content']", "message['content'].replace('e', '<|im_end|>')"), ""),
    ("ChatML by the length of the message", "", CHATML.replace("message['content']", "(message['content'] if message.content | length > 6 "
     "else '<|im_start|>short ' ~ message.content | length)"), ""),
    ("ChatML that refuses words", "", "{% if 'two' in messages[0].content | lower %}{{ raise_exception('no two') }}{% endif %}" + CHATML, ""),
    ("ChatML by a macro and a set block", "", "{% macro turn(role, text='', end='<|im_end|>\\n') -%}{{ '<|im_start|>' ~ role ~ '\\n' ~ text ~ end }}"
     "{%- endmacro %}{% set asked %}{% for m in messages if m.role == 'user' %}{{ m.content | trim }}{% endfor %}{% endset %}"
     "{{ turn(role='user', text=asked) }}{{ turn('assistant', end='') }}", ""),
    ("ChatML with another role", "", CHATML.replace("message['role']", "'human'"), ""),
    ("ChatML with another start of the answer", "", CHATML.replace("assistant\\n", "bot\\n"), ""),
    ("ChatML without its generation prompt", "", CHATML.split("{% if add_gen")[0], ""),
    ("ChatML with a token in its system message", "", QWEN2.replace("helpful", "<|secret|>"), ""),
    ("ChatML with an EOS", "", CHATML.replace("'<|im_end|>'", "eos_token"), ""),
    ("Mistral with a BOS inside", "", MISTRAL1.replace("'[INST] '", "'[INST] ' + bos_token"), "<s>"),
    ("Mistral with a text before", "", MISTRAL1.replace("'[INST] '", "'[INST] Be nice. '"), "<s>"),
]
SYSTEM = "Be brief. <|im_end|>\n"


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_printed"), [], [], body).set_lineno(line)

    def _printed(self, caller):
        return caller()


def raise_exception(message):
    raise TemplateError(message)


def to_json(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime(2024, 7, 26).strftime(form)


def environment():
    out = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])
    out.filters["tojson"] = to_json
    out.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    return out


def render(template, message, bos, system="", **more):
    messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": message}]
    switches = {"enable_thinking": False, "thinking": False, "reasoning_effort": "low"}
    return environment().from_string(template).render(messages=messages, tools=None, documents=None, add_generation_prompt=True,
                                                      bos_token=bos, eos_token="</s>", **switches, **more)


def rendered_or_none(*args):
    try:
        return render(*args)
    except TemplateError:
        return None


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
SNIPPETS += [
    # macros, namespaces, scopes
    "{% macro m(x, y=2, z=x) %}[{{ x }},{{ y }},{{ z }}]{% endmacro %}{{ m(1) }}{{ m(1, z=3) }}{{ m(x='q', y=n) }}",
    "{% macro f(k) %}{% if k > 0 %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}", "{% macro m() %}{{ v }}{% endmacro %}{% set v = 1 %}{{ m() }}{% set v = 2 %}{{ m() }}",
    "{% macro m(p) %}{{ p is defined }}{{ p }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m() %}{% set a = 'in' %}{{ a }}{% endmacro %}{{ m() }}{{ a }}{{ m()|length }}{{ m() ~ 'x' }}",
    "{% set ns = namespace(x=1, y='t') %}{% macro m() %}{% set ns.x = ns.x + 1 %}{% endmacro %}{{ m() }}{{ m() }}{{ ns.x }}{{ ns.y }}{{ ns.z is defined }}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}",
    "{% set b %}<{{ n }}>{% endset %}{{ b }}{{ b|length }}{% set c | upper | replace('X', 'Y') %}x{{ a }}x{% endset %}{{ c }}",
    "{% with p = n, q = 2 %}{{ p + q }}{% endwith %}{{ q is defined }}{% filter upper %}ab{{ a }}{% endfilter %}",
    "{% set p, q = [1, 2] %}{{ p }}{{ q }}{% for k, v in o.items() %}{{ k }}={{ v }}{% endfor %}{% for x, y in [[1, 2], (3, 4)] %}{{ x }}{{ y }}{% endfor %}",
    "{% generation %}g{% set gg = 1 %}{% endgeneration %}{{ gg is defined }}",
    # loops
    "{% for x in l if x != 2 %}{{ loop.index }}/{{ loop.length }}{{ x }}{{ loop.first }}{{ loop.last }}{{ loop.revindex0 }}{{ loop.nextitem }}{% endfor %}",
    "{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{{ loop.depth }}{% endfor %}{{ loop.index0 }}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for c in 'a\u00e9b' %}{{ c }}.{% endfor %}{% for k in o %}{{ k }}{% endfor %}{% for x in q %}{{ x }}{% else %}e{% endfor %}{% for x in [] if x %}{% else %}f{% endfor %}",
    "{% for x in range(2, 9, 3) %}{{ x }}{% endfor %}{% for x in range(3, 0, -1) %}{{ x }}{% endfor %}{{ range(0)|list|length }}",
    # filters
    "{{ ' x '|trim }}{{ 'xxaxx'|trim('x') }}{{ n|trim }}{{ 'aB'|upper }}{{ 'aB'|lower }}{{ 'aB cD'|title }}{{ 'aB cD'|capitalize }}{{ 5|string|length }}",
    "{{ '\u00df\u0130\u03a3\ufb01'|upper }}{{ '\u0130A\u03a3\u03a3 \u03a3'|lower }}{{ '\u01c6'|upper }}", "{{ l|join(', ') }}{{ l|join }}{{ [{'k': 1}, {'k': 2}]|join('-', attribute='k') }}{{ 'abc'|join('.') }}",
    "{{ o|tojson }}{{ [1, 'a\"\\n\u00e9\\\\', none, true, 1.5]|tojson }}{{ {'b': [1, {}], 'a': []}|tojson(indent=2) }}{{ {'b': 1, 'a': 2}|tojson(sort_keys=true, separators=(',', ':')) }}",
    "{{ 'aXbX'|replace('X', '-') }}{{ 'aXbX'|replace('X', '-', 1) }}{{ l|first }}{{ l|last }}{{ 'abc'|first }}{{ 'abc'|last }}{{ []|first is defined }}",
    "{% set d = [{'r': 'u', 'c': {'t': 1}}, {'r': 's'}, {'c': 3}] %}{{ d|selectattr('r')|list|length }}{{ d|selectattr('r', 'defined')|list|length }}{{ d|rejectattr('r', 'equalto', 'u')|list|length }}"
    "{{ d|map(attribute='r')|select|join(',') }}{{ d|map(attribute='c.t', default='z')|first }}{{ none|selectattr('r')|list|length }}",
    "{{ [1, 2, 3, 4]|select('odd')|list|length }}{{ [1, 2, 3]|reject('equalto', 2)|join }}{{ ['a', 'B']|map('upper')|join }}{{ [3, 1, 2]|sort|join }}{{ ['b', 'A', 'a']|sort|join }}{{ ['b', 'A', 'a']|sort(reverse=true, case_sensitive=true)|join }}",
    "{{ {'b': 2, 'A': 1}|dictsort|first|join }}{{ {'b': 1, 'a': 2}|dictsort(by='value')|map('first')|join }}{{ {'x': 1}|items|list|length }}{{ q|items|list|length }}",
    "{{ q|default('d') }}{{ ''|default('d') }}{{ ''|default('d', true) }}{{ none|d('e', boolean=true) }}{{ q|default }}", "{{ '7'|int + 1 }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ 3.9|int }}{{ true|int }}{{ -3|abs }}{{ 'abc'|list|length }}{{ o|list|first }}",
    "{{ [1, 2]|reverse|join }}{{ 'abc'|reverse }}{{ ['a', 'A', 'b', 'a']|unique|join }}{{ [1, 3, 2]|max }}{{ ['b', 'A']|min }}{{ [1, 2]|sum }}", "{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\nb'|indent(width='> ') }}|{{ 'a\n\nb'|indent(1, blank=true) }}",
    "{{ '%s-%s'|format(1, 'x') }}{{ '%d%%' % 5 }}{{ '%s %s' % ('a', n) }}{{ '{} {}'.format(1, a) }}{{ '{1}{0}{k}{{}}'.format(1, 2, k='v') }}", "{{ o|tojson|safe }}{{ 'x'|safe }}",
    # tests
    "{{ n is number }}{{ n is integer }}{{ 1.5 is float }}{{ true is integer }}{{ true is boolean }}{{ a is iterable }}{{ n is iterable }}{{ l is sequence }}{{ o is sequence }}{{ q is undefined }}{{ q is none }}{{ none is none }}",
    "{{ n is equalto 7 }}{{ n is eq(7) }}{{ n is ne 7 }}{{ n is gt 6 }}{{ n is in [7] }}{{ n is odd }}{{ n is divisibleby 7 }}{{ n is divisibleby(2) }}{{ true is true }}{{ 1 is true }}{{ n is not string and true }}{{ a is defined and q is not defined }}",
    # methods, slices
    "{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xax'.strip('x') }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith(('x', 'b')) }}{{ 'aXb'.upper() }}{{ 'a b'.title() }}{{ 'ab'.capitalize() }}",
    "{{ 'a,b,c'.split(',')|length }}{{ 'a,b,c'.split(',', 1)[1] }}{{ 'a,b,c'.rsplit(',', 1)[0] }}{{ ' a  b '.split()|join('-') }}{{ ' a  b c '.split(none, 1)[1] }}{{ ''.split(',')|length }}{{ ''.split()|length }}",
    "{{ 'abab'.replace('ab', 'c') }}{{ 'abab'.replace('ab', 'c', 1) }}{{ '-'.join(['a', 'b']) }}{{ 'abab'.find('b') }}{{ 'ab'.find('z') }}{{ 'abab'.count('ab') }}{{ 'prefix'.removeprefix('pre') }}{{ '12'.isdigit() }}{{ ' '.isspace() }}",
    "{{ 'h\u00e9llo'[1:3] }}{{ 'abc'[::-1] }}{{ 'abc'[-1] }}{{ 'abcdef'[::2] }}{{ 'abc'[5:] }}|{{ [1, 2, 3, 4][1::2]|join }}{{ [1, 2, 3][-5:2]|join }}{{ [1, 2, 3][2:0:-1]|join }}{{ l[5] is defined }}{{ 'abc'[9] is defined }}",
    "{{ o.keys()|join }}{{ o.values()|list|first }}{{ o.get('z') }}{{ o.get('z', 'd') }}{{ {'a': 1, 'a': 2}.a }}{{ {1: 'x', 2: 'y'}[2] }}{% for k, v in {3: 'c', 1: 'a'}|dictsort %}{{ k + 1 }}{{ v }}{% endfor %}{{ 1 in {1: 2} }}",
    "{{ l.0 }}{{ l['0'] is defined }}{{ l.index(2) }}{{ a.nothing is defined }}{{ n.x is defined }}{{ none.x is defined }}{{ a['k'] is defined }}",
    # operators
    "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 / 2 }}{{ 2 ** 10 }}{{ 1.5 + 1 }}{{ 0.1 + 0.2 }}{{ 1e0 if false else 100.0 }}{{ -7 % 3 }}{{ 'ab' * 2 }}{{ 3 * 2.0 }}{{ +3 }}" .replace("1e0 if false else ", ""),
    "{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ 1 < 2 < 2 }}{{ 1 in [1.0] }}{{ '' in 'a' }}{{ 'x' in q }}{{ q == q }}{{ none == false }}{{ [] == [] }}{{ {'a': 1} == {'a': 1.0} }}{{ not [] }}{{ [] or {} or 'z' }}",
    "{{ (1, 2)[1] }}{{ () | length }}{{ (3) }}{{ ('a' 'b') }}{{ [1, [2, 3]][1][0] }}{{ {'a': {'b': 'c'}}.a.b }}{{ 'x' ~ 1 ~ none ~ 1.0 ~ true }}{{ 1_000 }}",
    # white space, raw, comments
    "a {%- raw -%} {{ x }} {% if %} {%- endraw -%} b {% raw %}\n{# #}{% endraw %}\nc", "{#- a -#} x {#+ b +#}\n  {# c #}\ny", "a\n  {%- set x = 1 %}\n  b\n\t{% set y = 2 -%}\n  c\n", "{{ 'a' -}}  \n b {{- 'c' }} \n{%+ if 1 %} d\n{%- endif %}\ne",
    "\u00a0{{- 'a' -}}\u3000b", "x\r\ny\r{% if 1 %}\r\nz{% endif %}\r\n", "{{ strftime_now('%d %b %Y|%B|%A|%a|%Y-%m-%d|%j|%H:%M:%S|%y|%-d|%F %T') }}",
]
REFUSED_SNIPPETS = ["{{ q.x }}", "{{ q['x'] }}", "{{ q + 'a' }}", "{{ 1 + 'x' }}", "{{ 'a' < 1 }}", "{{ n() }}", "{{ l.append(1) }}", "{{ o.update({}) }}", "{{ 'a'.nope() }}", "{{ 'a'|nope }}", "{{ 'a' is nope }}",
                    "{{ raise_exception('no') }}", "{% set o.k = 1 %}", "{% for x in n %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{{ 1 // 0 }}", "{{ q|tojson }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
                    "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% if %}{% endif %}", "{{ 1 if }}", "{% endfor %}", "{{ (1 }}", "{{ 'a }}", "{% set x %}", "{{ q|length if q.z }}", "{{ 'ab'.split('') }}", "{{ 'x'.join([1]) }}",
                    "{{ loop.index }}", "{{ q|int }}", "{{ q|dictsort|join }}", "{{ [1, 'a']|sort }}", "{{ namespace(_a=1)._a.b }}"]
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
        out[name] = {template: [None if "<|im_end|>" in message or text is None else encode(text)
                                for message, text in zip(MESSAGES, rendered[template])] for template in templates}
    return out


def main():
    known = [{"name": name, "template": template, "bos": bos, "rendered": [rendered_or_none(template, message, bos) for message in MESSAGES],
              "with_system": [rendered_or_none(template, message, bos, SYSTEM) for message in MESSAGES]} for name, _, template, bos in KNOWN]
    snippets = [{"template": snippet, "rendered": render(snippet, "", "", **VARIABLES)} for snippet in SNIPPETS]
    for snippet in REFUSED_SNIPPETS:
        try:
            print("not refused by Jinja:", snippet, render(snippet, "", "", **VARIABLES))
        except (TemplateError, TypeError, ZeroDivisionError, ValueError):
            pass
    golden = {"messages": MESSAGES, "system": SYSTEM, "known": known, "ids": ids_of(known), "variables": VARIABLES, "snippets": snippets,
              "refused_snippets": REFUSED_SNIPPETS}
    OUT.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
