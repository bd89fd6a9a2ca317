"""Which kinds of network the runtime knows. The lists are data: a file's header must name one of these.

They are those that llama.cpp at the commit 0c1e570 (llama-cpp-python 0.3.36) loads, as the library itself reports. A
tier doesn't check them: a newer library may know more, and `model = "PATH"` leaves the decision to it.
"""

from __future__ import annotations

from pathlib import Path

from rung.errors import MalformedModel
from rung.store.gguf import Header, read_header

_LONGEST_TEMPLATE = 256 * 1024

ANSWERING = frozenset(
    """
    afmoe apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 bitnet bloom chameleon chatglm
    codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 deepseek4
    dots1 dots3note dream ernie4_5 ernie4_5-moe exaone exaone-moe exaone4 falcon falcon-h1 gemma gemma2 gemma3
    gemma3n gemma4 glm-dsa glm4 glm4moe glm5-next gpt-oss gpt2 gptj gptneox granite granite_swa granitehybrid
    granitemoe graniteswitch grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 hy_v4 internlm2 jais
    jais2 jamba kimi-k3 kimi-linear laguna lfm2 lfm2moe llada llada-moe llama llama4 maincoder mamba mamba2 maple
    mellum mimo2 minicpm minicpm3 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4 mpt muse-glimmer nanbeige
    nemotron nemotron_h nemotron_h_moe olmo olmo2 olmoe openelm orion paddleocr pangu-embedded phi2 phi3 phimoe plamo
    plamo2 plamo3 plm qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe qwen3moe qwen3next qwen3vl qwen3vlmoe qwen4exp
    refact rnd1 rwkv6 rwkv6qwen2 rwkv7 seed_oss smallthinker smollm3 spark2_5 stablelm starcoder starcoder2 step35 t5
    talkie xverse
    """.split()  # noqa: SIM905
)
"""Architectures that can answer a prompt."""

OTHER = frozenset(
    """
    bert dflash eagle3 eurobert gemma-embedding gemma4-assistant jina-bert-v2 jina-bert-v3 llama-embed modern-bert
    neo-bert nomic-bert nomic-bert-moe pockettts qwen3tts t5encoder wavtokenizer-dec
    """.split()  # noqa: SIM905
)
"""Architectures for embeddings, speech, or drafting for another model."""


def read_usable(path: Path) -> Header:
    """The header of a file, if a tier could answer with the model.

    Raises:
        MalformedModel: it is not a GGUF file or contradicts itself, the runtime doesn't know its architecture, its
            model doesn't answer prompts, or its chat template is longer than 262,144 characters.
        StoreError: it can't be read.
    """
    header = read_header(path)
    kind = header.architecture
    if kind in OTHER:
        raise MalformedModel(
            f"{path} can't answer: {kind!r} is an architecture for embeddings, speech or drafts",
            hint="name a model that answers prompts",
        )
    if kind not in ANSWERING:
        raise MalformedModel(
            f"{path} can't be loaded: its architecture {kind!r} is not known",
            hint="if a newer llama-cpp-python knows it, name the file itself in rung.toml",
        )
    if len(header.chat_template or "") > _LONGEST_TEMPLATE:
        raise MalformedModel(
            f"{path} can't be used: its chat template is longer than {_LONGEST_TEMPLATE:,} characters",
            hint="name the file itself in rung.toml, with a chat_template",
        )
    return header
