#!/usr/bin/env python3
"""What Jinja itself makes of chat templates, in the environment that transformers renders them in (pip install jinja2).

Reads test/golden/chat-templates/*.jinja (the templates of the models named, some shortened) and writes expected.json:
a list of {"template", "variables", "text"} or, where the template raises, {"template", "variables", "error"}.

Run:  python3 scripts/reference/chat_templates.py
"""

import json
from pathlib import Path

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

SPECIALS = {
    "llama-3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
    "mistral": {"bos_token": "<s>", "eos_token": "</s>"},
    "gemma-2": {"bos_token": "<bos>", "eos_token": "<eos>"},
}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a place: 'now', \"later\" & <more>",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}
SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "  What is 語? 🙂 "}
MORE_USER = {"role": "user", "content": "And now?"}
ASSISTANT = {"role": "assistant", "content": " A word.\n"}
CASES = [
    {"messages": [USER]},
    {"messages": [USER], "add_generation_prompt": True},
    {"messages": [SYSTEM, USER, ASSISTANT, MORE_USER], "add_generation_prompt": True},
    {"messages": [USER, ASSISTANT, MORE_USER], "tools": [TOOL], "add_generation_prompt": True},
    {"messages": [ASSISTANT, USER]},
]
SPECIAL_CASES = {
    "qwen2.5": [
        {
            "messages": [USER, {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}]
            + [{"role": "tool", "content": '{"rain": true}'}] * 2
            + [ASSISTANT],
            "tools": [TOOL],
        }
    ],
    "macros": [
        {"messages": [{"role": "user", "content": [{"text": "a cat"}, {"type": "image"}]}], "thinking": True},
    ],
}


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def main():
    folder = Path(__file__).resolve().parents[2] / "test" / "golden" / "chat-templates"
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    expected = []
    for path in sorted(folder.glob("*.jinja")):
        template = environment.from_string(path.read_text())
        for case in CASES + SPECIAL_CASES.get(path.stem, []):
            variables = {**SPECIALS.get(path.stem, {}), "add_generation_prompt": False, "tools": None, **case}
            entry = {"template": path.stem, "variables": variables}
            try:
                entry["text"] = template.render(**variables)
            except jinja2.exceptions.TemplateError as error:
                entry["error"] = str(error)
            expected.append(entry)
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")


main()
