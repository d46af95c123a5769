"""The checkpoints that checkpoints.py makes, as data.

A case: config      config.json as a model of that kind has it on the hub
        generation  generation_config.json
        tokens      length T of the reference input (24 unless told): longer than any window or trained length used here
        dtype       dtype of the stored weights; the reference then runs in float32 on the rounded numbers
        shards      number of weight files
        native      write config.json as transformers 5 does (rope_parameters, dtype, layer_types), not as 4.x did
        strip       a prefix that the stored names lack
        extra       (config) -> tensors that are not parameters but lie in real files of that kind, and must be ignored
        cache       what a cache does to generation, see generation() in checkpoints.py
        ending      also write a continuation that ends early
        gradients   also write gradients.safetensors
        without     changes to the config, each of which must change the logits: proof that the case tests the setting
        tokenizer   a kind of checkpoint_tokenizers.py
        about       one line for the README
"""

import torch

VOCABULARY = 64


def inverse_frequencies(config):
    width = config["hidden_size"] // config["num_attention_heads"]
    frequencies = 1.0 / 10000.0 ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    return {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": frequencies.clone() for layer in range(config["num_hidden_layers"])}


def causal_masks(config):
    n = config["n_positions"]
    mask = torch.tril(torch.ones(1, 1, n, n))
    return {f"h.{layer}.attn.bias": mask.clone() for layer in range(config["n_layer"])}


def neox_buffers(config):
    n, width = config["max_position_embeddings"], config["hidden_size"] // config["num_attention_heads"]
    rotary = int(width * config["rotary_pct"])
    one = lambda: {
        "bias": torch.tril(torch.ones(1, 1, n, n, dtype=torch.bool)),
        "masked_bias": torch.tensor(-1e9),
        "rotary_emb.inv_freq": 1.0 / 10000.0 ** (torch.arange(0, rotary, 2, dtype=torch.float32) / rotary),
    }
    layers = range(config["num_hidden_layers"])
    return {f"gpt_neox.layers.{layer}.attention.{name}": value for layer in layers for name, value in one().items()}


def decoder(kind, architecture, **overrides):
    """What llama and its relatives have in common; None removes a key."""
    config = {
        "architectures": [architecture],
        "model_type": kind,
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "hidden_act": "silu",
        "max_position_embeddings": 64,
        "initializer_range": 0.02,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **overrides,
    }
    return {key: value for key, value in config.items() if value is not OMIT}


OMIT = object()


def llama(**overrides):
    return decoder("llama", "LlamaForCausalLM", **{"attention_bias": False, "mlp_bias": False, "pretraining_tp": 1, "rope_scaling": None, **overrides})


def qwen2(**overrides):
    window = {"use_sliding_window": False, "sliding_window": 32, "max_window_layers": 2, "rms_norm_eps": 1e-6}
    return decoder("qwen2", "Qwen2ForCausalLM", **{**window, **overrides})


def gpt2(**overrides):
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "attn_pdrop": 0.1,
        "embd_pdrop": 0.1,
        "resid_pdrop": 0.1,
        "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-5,
        "n_ctx": 48,
        "n_embd": 16,
        "n_head": 2,
        "n_layer": 2,
        "n_positions": 48,
        "vocab_size": VOCABULARY,
        "bos_token_id": VOCABULARY - 1,
        "eos_token_id": VOCABULARY - 1,
        **overrides,
    }


def gpt_neox(**overrides):
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "model_type": "gpt_neox",
        "hidden_act": "gelu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 48,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
        "use_parallel_residual": True,
        "vocab_size": VOCABULARY,
        "bos_token_id": 0,
        "eos_token_id": 0,
        **overrides,
    }


GEMMA = {"num_hidden_layers": 3, "num_attention_heads": 2, "head_dim": 12, "rms_norm_eps": 1e-6, "tie_word_embeddings": OMIT, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
LONG = {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64, "rope_type": "llama3"}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
BETAS = {"type": "yarn", "factor": 2.5, "original_max_position_embeddings": 256, "beta_fast": 4.0, "beta_slow": 0.5, "attention_factor": 1.3}
LONGROPE = {"type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 2.0], "long_factor": [1.2, 1.9, 2.7, 4.0, 6.5, 9.0]}

CASES = {
    "gpt2": {"config": gpt2(vocab_size=384, bos_token_id=383, eos_token_id=383), "tokens": 16, "gradients": True, "tokenizer": "gpt2", "about": "names with `transformer.`, tied, vocabulary 384, tokenizer, gradients"},
    "gpt2-bare": {"config": gpt2(n_inner=40), "strip": "transformer.", "extra": causal_masks, "about": "names without `transformer.`, and the `attn.bias` masks of the first GPT-2 files; `n_inner` is not 4 x width"},
    "llama": {"config": llama(hidden_size=32, intermediate_size=40, num_attention_heads=4, num_key_value_heads=2), "gradients": True, "about": "grouped-query, untied, gradients"},
    "llama-tied": {"config": llama(tie_word_embeddings=True), "about": "tied: no `lm_head.weight` in the file"},
    "llama-bias": {"config": llama(attention_bias=True, mlp_bias=True), "without": [{"attention_bias": False}, {"mlp_bias": False}], "about": "`attention_bias` and `mlp_bias`"},
    "llama-head-dim": {"config": llama(head_dim=12), "about": "`head_dim` 12, not width / heads = 8"},
    "llama-sharded": {"config": llama(num_hidden_layers=3), "shards": 3, "about": "three weight files and their index"},
    "llama-bfloat16": {"config": llama(torch_dtype="bfloat16"), "dtype": torch.bfloat16, "about": "stored in bfloat16, reference in float32"},
    "llama-float16": {"config": llama(torch_dtype="float16"), "dtype": torch.float16, "about": "stored in float16, reference in float32"},
    "llama-linear": {"config": llama(rope_scaling={"type": "linear", "factor": 2.5}), "extra": inverse_frequencies, "without": [{"rope_scaling": None}], "about": "linear position scaling (old key `type`), and the `rotary_emb.inv_freq` tensors of old files"},
    "llama-dynamic": {"config": llama(max_position_embeddings=12, rope_scaling={"type": "dynamic", "factor": 2.0}), "cache": "differs", "without": [{"rope_scaling": None}], "about": "dynamic NTK scaling, trained length 12 < T"},
    "llama3": {"config": llama(**LONG, rope_theta=500.0, rope_scaling=LLAMA3), "without": [{"rope_scaling": None}, {"rope_scaling": {**LLAMA3, "high_freq_factor": 2.0}}, {"rope_scaling": {"type": "linear", "factor": 8.0}}], "about": "llama3 scaling: kept, blended and divided frequencies all occur"},
    "llama-yarn": {"config": llama(**LONG, max_position_embeddings=256, rope_scaling=YARN), "without": [{"rope_scaling": None}, {"rope_scaling": {**YARN, "attention_factor": 1.0}}, {"rope_scaling": {**YARN, "truncate": False}}], "about": "YaRN with its defaults"},
    "llama-v5": {"config": llama(**LONG, rope_theta=500.0, rope_scaling=LLAMA3), "native": True, "without": [{"rope_scaling": None}], "about": "config.json as transformers 5 writes it: `rope_parameters`, `dtype`"},
    "llama-chat": {"config": llama(**LONG, vocab_size=384, intermediate_size=48, bos_token_id=381, eos_token_id=383), "generation": {"bos_token_id": 381, "eos_token_id": [383, 382]}, "ending": True, "tokens": 16, "tokenizer": "llama", "about": "a whole folder: tokenizer that puts bos first, ChatML template in tokenizer_config.json, two end tokens"},
    "qwen2": {"config": qwen2(vocab_size=384, tie_word_embeddings=True, bos_token_id=381, eos_token_id=383), "generation": {"bos_token_id": 381, "pad_token_id": 381, "eos_token_id": [383, 381]}, "tokens": 16, "tokenizer": "qwen2", "about": "q/k/v biases, tied, tokenizer, template in chat_template.jinja"},
    "qwen2-sliding": {"config": qwen2(num_hidden_layers=3, use_sliding_window=True, sliding_window=6, max_window_layers=1), "native": True, "without": [{"use_sliding_window": False}, {"max_window_layers": 0}, {"sliding_window": 7}], "about": "first layer full, the others window 6; config.json of transformers 5 with `layer_types`"},
    "qwen2-max-window-layers": {"config": qwen2(num_hidden_layers=3, use_sliding_window=True, sliding_window=5, max_window_layers=2), "without": [{"use_sliding_window": False}, {"max_window_layers": 1}, {"sliding_window": 6}], "about": "two layers full, the third window 5, told by `max_window_layers` alone"},
    "qwen2-yarn": {"config": qwen2(**LONG, max_position_embeddings=256, rope_theta=1000.0, rope_scaling=BETAS), "without": [{"rope_scaling": {**BETAS, "beta_fast": 32.0}}, {"rope_scaling": {**BETAS, "beta_slow": 1.0}}, {"rope_scaling": {**BETAS, "attention_factor": None}}], "about": "YaRN with its own betas and attention factor (old key `type`)"},
    "qwen3": {"config": decoder("qwen3", "Qwen3ForCausalLM", head_dim=12, attention_bias=False, use_sliding_window=False, sliding_window=None, max_window_layers=2, rope_scaling=None, rms_norm_eps=1e-6), "about": "q_norm and k_norm, `head_dim` 12"},
    "mistral": {"config": decoder("mistral", "MistralForCausalLM", sliding_window=6, num_attention_heads=4, hidden_size=32, num_key_value_heads=2), "without": [{"sliding_window": None}, {"sliding_window": 7}], "about": "window 6 in every layer"},
    "gemma": {"config": decoder("gemma", "GemmaForCausalLM", **{**GEMMA, "hidden_act": "gelu", "hidden_activation": None, "attention_bias": False}), "without": [{"hidden_act": "relu"}], "about": "first Gemma: embeddings scaled, gains offset by 1, `\"gelu\"` that means the tanh form, tied"},
    "gemma2": {"config": decoder("gemma2", "Gemma2ForCausalLM", **{**GEMMA, "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "attention_bias": False, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 6.0, "query_pre_attn_scalar": 20, "sliding_window": 6, "cache_implementation": "hybrid"}), "without": [{"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"query_pre_attn_scalar": 12}, {"sliding_window": 7}, {"layer_types": ["full_attention", "sliding_attention", "full_attention"]}], "about": "soft-caps 5 and 6, window 6 in layers 0 and 2, four norms a block, tied"},
    "phi3": {"config": decoder("phi3", "Phi3ForCausalLM", sliding_window=6, original_max_position_embeddings=64, rope_scaling=None, embd_pdrop=0.0, resid_pdrop=0.0, pad_token_id=3), "without": [{"sliding_window": None}, {"sliding_window": 7}], "about": "fused qkv_proj and gate_up_proj, window 6"},
    "phi3-longrope": {"config": decoder("phi3", "Phi3ForCausalLM", **LONG, sliding_window=None, original_max_position_embeddings=16, partial_rotary_factor=0.75, rope_scaling=LONGROPE, tie_word_embeddings=True, embd_pdrop=0.0, resid_pdrop=0.0, pad_token_id=3), "cache": "broken", "without": [{"rope_scaling": None}, {"rope_scaling": {**LONGROPE, "long_factor": LONGROPE["short_factor"]}}, {"rope_scaling": {**LONGROPE, "attention_factor": 1.0}}, {"partial_rotary_factor": 1.0, "rope_scaling": None}], "about": "LongRoPE (long factors for T = 24, short ones for T = 1), 3/4 of each head rotated, tied"},
    "gpt-neox": {"config": gpt_neox(), "extra": neox_buffers, "without": [{"rotary_pct": 1.0}, {"use_parallel_residual": False}, {"hidden_act": "gelu_new"}], "about": "parallel residual, 1/4 of each head rotated, fused query_key_value, and the buffers that Pythia files hold"},
    "gpt-neox-sequential": {"config": gpt_neox(use_parallel_residual=False, hidden_size=16, num_attention_heads=1), "without": [{"rotary_pct": 1.0}, {"use_parallel_residual": True}], "about": "`use_parallel_residual` false"},
}
