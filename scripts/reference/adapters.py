#!/usr/bin/env python3
"""Reference adapters, as PEFT writes them, with what transformers' Llama computes with them.

Writes test/golden/adapters/:

  base.safetensors            the weights of a tiny Llama, and `tokens`
  <case>/adapter_*            the files of PEFT's save_pretrained
  expected.safetensors        base.logits; <case>.logits; <case>.merged.<path>, the merged weight of one layer;
                              both.logits, of the first two cases added up; <case>.grad.<key>, d loss / d A and B of the
                              cross-entropy of the next token

Computed in float64 from float32 weights. Needs torch, transformers and peft (made with 2.13, 5.18 and 0.21).

Run:  python3 scripts/reference/adapters.py
      python3 scripts/reference/adapters.py check <folder>   logits of an adapter written by layerwise, as JSON
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from store import write_safetensors

FOLDER = Path(__file__).resolve().parents[2] / "test" / "golden" / "adapters"

CASES = {
    "list": dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
    "all-linear": dict(r=2, lora_alpha=3, target_modules="all-linear", use_rslora=True, lora_dropout=0.25),
    "patterns": dict(
        r=4,
        lora_alpha=4,
        target_modules=r"model\.layers\.\d+\.(self_attn\.(q|o)_proj|mlp\.down_proj)",
        rank_pattern={"o_proj": 2, r"layers\.1\.mlp\.down_proj": 3},
        alpha_pattern={"layers.0.self_attn.q_proj": 16},
    ),
    "layers": dict(r=3, lora_alpha=6, target_modules=["up_proj", "k_proj"], layers_to_transform=[1]),
}


def llama():
    config = LlamaConfig(
        vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=12, rms_norm_eps=1e-5, tie_word_embeddings=False,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config).eval()


def base():
    model = llama()
    weights = load_file(FOLDER / "base.safetensors")
    tokens = weights.pop("tokens")
    model.load_state_dict(weights, strict=True)
    return model, tokens.long()


def put(tensors, name, value):
    tensors[name] = value.detach().numpy().astype(np.float32)


def write():
    torch.manual_seed(5)
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = llama()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.1) + (parameter.dim() == 1))
    tokens = torch.randint(37, (2, 9))
    save_file({**model.state_dict(), "tokens": tokens.int()}, FOLDER / "base.safetensors")
    expected = {}
    put(expected, "base.logits", model.double()(tokens).logits)
    for case, options in CASES.items():
        adapted = get_peft_model(base()[0], LoraConfig(task_type="CAUSAL_LM", **options))
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
        adapted.save_pretrained(FOLDER / case)
        (FOLDER / case / "README.md").unlink(missing_ok=True)
        adapted = PeftModel.from_pretrained(base()[0], FOLDER / case, is_trainable=True).double().eval()
        logits = adapted(tokens).logits
        put(expected, f"{case}.logits", logits)
        torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 37), tokens[:, 1:].reshape(-1)).backward()
        for name, parameter in adapted.named_parameters():
            if parameter.grad is not None:
                put(expected, f"{case}.grad.{name.removeprefix('base_model.model.').replace('.default', '')}", parameter.grad)
        path = next(name for name, module in adapted.base_model.model.named_modules() if hasattr(module, "merge"))
        merged = adapted.merge_and_unload()
        put(expected, f"{case}.merged.{path}.weight", merged.get_submodule(path).weight)
    first, second = list(CASES)[:2]
    both = PeftModel.from_pretrained(base()[0], FOLDER / first, adapter_name="a")
    both.load_adapter(FOLDER / second, adapter_name="b")
    both.base_model.set_adapter(["a", "b"])
    put(expected, "both.logits", both.double().eval()(tokens).logits)
    size = write_safetensors(FOLDER / "expected.safetensors", expected, {})
    print(f"{len(CASES)} cases, {size} bytes of expected numbers")


def check(folder):
    model, tokens = base()
    adapted = PeftModel.from_pretrained(model, folder).double().eval()
    print(json.dumps(adapted(tokens).logits.flatten().tolist()))


if __name__ == "__main__":
    check(sys.argv[2]) if sys.argv[1:2] == ["check"] else write()
