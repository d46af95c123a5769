#!/usr/bin/env python3
"""Tiny random checkpoints in Hugging Face layout with reference numbers from `transformers`, into
test/golden/checkpoints/<case>/. The README there, which this script writes too, says what every file holds.

Needs torch, transformers 5, tokenizers and safetensors:  python3 scripts/reference/checkpoints.py [case ...]
The same versions write the same bytes again.
"""

import copy
import json
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import safetensors.torch
import tokenizers
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from checkpoint_cases import CASES
from checkpoint_readme import write_readme
from checkpoint_tokenizers import write_json, write_tokenizer

FOLDER = Path(__file__).resolve().parents[2] / "test" / "golden" / "checkpoints"
PROMPT = 8
NEW = 24
# An argmax this clear (relative to the largest logit) does not turn on the last bits of float32.
MARGIN = 1e-3


def rng(*name):
    return np.random.default_rng(zlib.crc32("/".join(name).encode()))


def randomize(model, case, kind):
    """Wide enough that norms, biases, soft-caps and windows all change the logits, and not so wide that rounding errors
    grow from block to block. Gains lie around 1 (Gemma stores them less 1), biases around 0."""
    spread = 1 / model.config.hidden_size**0.5
    table = 0.2 if kind.startswith("gemma") else 0.3
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.from_numpy(rng(case, name).standard_normal(tuple(parameter.shape)).astype(np.float32))
            if parameter.dim() > 1:
                parameter.copy_((table if parameter.shape[0] == model.config.vocab_size else spread) * noise)
            else:
                is_gain = name.endswith("weight") and not kind.startswith("gemma")
                parameter.copy_(0.2 * noise + (1.0 if is_gain else 0.0))


def rewrite(path, change):
    """Applies `change` to the tensors of a written file."""
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path, metadata={"format": "pt"})


def shard_size(model, count, dtype):
    """The largest limit in bytes that still gives `count` files."""
    sizes = [p.numel() * dtype.itemsize for p in model.parameters()]
    return sum(sizes) // count + max(sizes) // 2


def write_weights(folder, name, case):
    config = case["config"]
    write_json(folder / "config.json", config)
    parsed = AutoConfig.from_pretrained(folder)
    model = AutoModelForCausalLM.from_config(parsed, dtype=torch.float32)
    randomize(model, name, config["model_type"])
    dtype = case.get("dtype", torch.float32)
    shards = case.get("shards", 1)
    limit = {} if shards == 1 else {"max_shard_size": shard_size(model, shards, dtype)}
    model.to(dtype).save_pretrained(folder, **limit)
    files = list(folder.glob("*.safetensors"))
    assert len(files) == shards, f"{name}: {len(files)} weight files, wanted {shards}"
    if not case.get("native"):
        write_json(folder / "config.json", config)
    generation = case.get("generation", {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in config})
    write_json(folder / "generation_config.json", {"_from_model_config": "generation" not in case, **generation})
    prefix, extra = case.get("strip", ""), case.get("extra", lambda _: {})(config)
    if prefix or extra:
        rewrite(files[0], lambda tensors: {**{key.removeprefix(prefix): value for key, value in tensors.items()}, **extra})


def load(folder):
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"] and not report["mismatched_keys"], f"{folder.name}: {report}"
    return model.eval()


def run(model, ids):
    """On a copy: dynamic rotary frequencies remember the longest input seen."""
    with torch.no_grad():
        return copy.deepcopy(model)(input_ids=ids, output_hidden_states=True, use_cache=False)


def greedy(model, prompts, **options):
    with torch.no_grad():
        return copy.deepcopy(model).generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=NEW, do_sample=False, return_dict_in_generate=True, **options)


def end_tokens(model):
    ends = model.generation_config.eos_token_id
    return ends if isinstance(ends, list) else [ends]


def candidates(model, prompts, use_cache):
    """Greedy continuations past any end token, whether each token is one, and the lead of each choice."""
    free = copy.deepcopy(model)
    free.generation_config.eos_token_id = None
    out = greedy(free, prompts, output_logits=True, use_cache=use_cache)
    logits = torch.stack(out.logits, 1)
    top = logits.topk(2, dim=-1).values
    tokens = out.sequences[:, PROMPT:]
    return tokens, torch.isin(tokens, torch.tensor(end_tokens(model))), (top[..., 0] - top[..., 1]) / logits.abs().amax(-1)


def worth(tokens, ends, leads):
    """The smallest lead of each continuation; 0 where an end token occurs, or few different tokens."""
    dull = torch.tensor([len(set(row.tolist())) < 5 for row in tokens])
    return torch.where(dull | ends.any(-1), 0, leads.amin(-1))


def generation(model, name, cache):
    """The two clearest of many prompts. `cache`:
    "same"     with a cache and without one the continuation is the same
    "differs"  keys in a cache keep the frequencies they were made with: both continuations are written, and differ
    "broken"   transformers 5.18 loses the text when LongRoPE changes to its long factors: only without a cache"""
    prompts = torch.from_numpy(rng(name, "prompt").integers(3, model.config.vocab_size - 3, (256, PROMPT)))
    anew = candidates(model, prompts, False)
    made = anew if cache == "broken" else candidates(model, prompts, True)
    wanted = (made[0] == anew[0]).all(-1) != (cache == "differs")
    margin = torch.where(wanted, torch.minimum(worth(*made), worth(*anew)), 0)
    best = margin.argsort(descending=True, stable=True)[:2]
    tokens = made[0][best]
    assert margin[best].min() > MARGIN, f"{name}: no two clear prompts, margins {margin[best].tolist()}"
    out = greedy(model, prompts[best], use_cache=cache != "broken").sequences[:, PROMPT:]
    assert torch.equal(out, tokens), f"{name}: end tokens changed the continuation"
    return {"prompt": prompts[best], "generated": tokens, **({"generated_uncached": anew[0][best]} if cache == "differs" else {})}


def ending(model, name):
    """A prompt whose continuation ends early, at an end token that only generation_config.json names."""
    only = [token for token in end_tokens(model) if token != model.config.eos_token_id]
    prompts = torch.from_numpy(rng(name, "ending").integers(3, model.config.vocab_size - 3, (1024, PROMPT)))
    tokens, ends, leads = candidates(model, prompts, True)
    for prompt, row, end, lead in zip(prompts, tokens, ends, leads):
        length = int(end.int().argmax()) + 1
        if end.any() and 6 <= length < NEW and row[length - 1] in only and lead[:length].min() > MARGIN:
            out = greedy(model, prompt[None]).sequences[:, PROMPT:]
            assert torch.equal(out[0], row[:length]), f"{name}: generation did not stop at the end token"
            return {"ending.prompt": prompt[None], "ending.generated": out}
    raise AssertionError(f"{name}: no prompt ends at {only}")


def reference(model, name, case):
    ids = torch.from_numpy(rng(name, "input").integers(0, model.config.vocab_size, (2, case.get("tokens", 24))))
    out = run(model, ids)
    exact = run(copy.deepcopy(model).double(), ids).logits
    tensors = {"input_ids": ids, "logits": out.logits, "one.input_ids": ids[:, :1], "one.logits": run(model, ids[:, :1]).logits}
    tensors |= {f"hidden_states.{layer}": state for layer, state in enumerate(out.hidden_states)}
    tensors |= generation(model, name, case.get("cache", "same"))
    if case.get("ending"):
        tensors |= ending(model, name)
    difference = ((out.logits - exact).abs().max() / exact.abs().max()).item()
    assert difference < 2e-6, f"{name}: float32 is {difference:.1e} from float64"
    return tensors


def settings_matter(folder, case, ids, logits):
    """How much of the largest logit the least of the `without` changes moves. "gelu_new" for "gelu" moves them least."""
    moved = []
    for change in case.get("without", []):
        config = AutoConfig.for_model(**copy.deepcopy({**case["config"], **change}))
        model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32, attn_implementation="eager")
        moved.append(((run(model.eval(), ids).logits - logits).abs().max() / logits.abs().max()).item())
        assert moved[-1] > 1e-4, f"{folder.name}: {change} moves the logits by {moved[-1]:.1e} only"
    return f"changed settings move them by {min(moved):.1e} or more" if moved else ""


def gradients(model, ids, path, prefix):
    model.zero_grad()
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    grads = {name.removeprefix(prefix): p.grad for name, p in model.named_parameters()}
    save(path, {**grads, "loss": loss.detach()}, model)


def save(path, tensors, model):
    source = f"transformers {transformers.__version__} {type(model).__name__}, torch {torch.__version__.split('+')[0]}, float32"
    whole = {name: (t.to(torch.int32) if t.dtype == torch.int64 else t).detach().clone().contiguous() for name, t in tensors.items()}
    safetensors.torch.save_file(whole, path, metadata={"source": source})


def write_case(name, case):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_weights(folder, name, case)
    if "tokenizer" in case:
        write_tokenizer(case["tokenizer"], folder)
    model = load(folder)
    tensors = reference(model, name, case)
    save(folder / "reference.safetensors", tensors, model)
    if case.get("gradients"):
        gradients(model, tensors["input_ids"], folder / "gradients.safetensors", case.get("strip", ""))
    moved = settings_matter(folder, case, tensors["input_ids"], tensors["logits"])
    print(f"{name:26} {sum(f.stat().st_size for f in folder.iterdir()) / 1024:7.1f} KiB  largest logit {tensors['logits'].abs().max():.2f}  {moved}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or CASES:
        write_case(name, CASES[name])
    versions = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__, "tokenizers": tokenizers.__version__, "safetensors": safetensors.__version__}
    write_readme(FOLDER / "README.md", CASES, versions)
