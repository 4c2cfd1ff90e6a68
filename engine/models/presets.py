"""Providers that can be named: where they are and what their key is called.

Only addresses and names of environment variables; which models a provider has is for
the provider to say.  ``NEUROGLASS_<PROVIDER>_BASE_URL`` replaces an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["anthropic", "openai", "compatible"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One provider.

    Attributes:
        base_url: Given to the SDK even where it is its own, so that replies can be
            filed under it.
        key_names: Environment variables that may hold its key, first to last; empty
            where a key is optional, as on servers of one's own.
        kind: ``anthropic`` and ``openai`` through their SDKs; ``compatible`` speaks
            OpenAI's chat completions.
        site: Where to get a key, or the server.
    """

    name: str
    base_url: str
    key_names: tuple[str, ...]
    kind: Kind
    site: str

    @property
    def base_url_name(self) -> str:
        """The environment variable that replaces :attr:`base_url`."""
        return f"NEUROGLASS_{self.name.upper().replace('-', '_')}_BASE_URL"


_ALL = (
    Preset(
        "anthropic",
        "https://api.anthropic.com",
        ("ANTHROPIC_API_KEY",),
        "anthropic",
        "console.anthropic.com",
    ),
    Preset(
        "openai",
        "https://api.openai.com/v1",
        ("OPENAI_API_KEY",),
        "openai",
        "platform.openai.com",
    ),
    Preset(
        "deepseek",
        "https://api.deepseek.com/v1",
        ("DEEPSEEK_API_KEY",),
        "compatible",
        "platform.deepseek.com",
    ),
    Preset(
        "qwen",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        ("DASHSCOPE_API_KEY",),
        "compatible",
        "bailian.console.aliyun.com",
    ),
    Preset(
        "qwen-intl",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        ("DASHSCOPE_INTL_API_KEY", "DASHSCOPE_API_KEY"),
        "compatible",
        "modelstudio.console.alibabacloud.com",
    ),
    Preset(
        "doubao",
        "https://ark.cn-beijing.volces.com/api/v3",
        ("ARK_API_KEY",),
        "compatible",
        "console.volcengine.com/ark",
    ),
    Preset(
        "hunyuan",
        "https://api.hunyuan.cloud.tencent.com/v1",
        ("HUNYUAN_API_KEY",),
        "compatible",
        "console.cloud.tencent.com/hunyuan",
    ),
    Preset(
        "qianfan",
        "https://qianfan.baidubce.com/v2",
        ("QIANFAN_API_KEY",),
        "compatible",
        "console.bce.baidu.com/qianfan",
    ),
    Preset(
        # The key is what iFlytek calls APIPassword; every model family has its own.
        "spark",
        "https://spark-api-open.xf-yun.com/v1",
        ("SPARK_API_PASSWORD", "SPARK_API_KEY"),
        "compatible",
        "console.xfyun.cn",
    ),
    Preset(
        "openrouter",
        "https://openrouter.ai/api/v1",
        ("OPENROUTER_API_KEY",),
        "compatible",
        "openrouter.ai/keys",
    ),
    Preset(
        "groq",
        "https://api.groq.com/openai/v1",
        ("GROQ_API_KEY",),
        "compatible",
        "console.groq.com/keys",
    ),
    Preset(
        "mistral",
        "https://api.mistral.ai/v1",
        ("MISTRAL_API_KEY",),
        "compatible",
        "console.mistral.ai",
    ),
    Preset(
        "together",
        "https://api.together.ai/v1",
        ("TOGETHER_API_KEY",),
        "compatible",
        "api.together.ai",
    ),
    Preset("ollama", "http://localhost:11434/v1", (), "compatible", "ollama.com"),
    Preset(
        "llamacpp", "http://localhost:8080/v1", (), "compatible", "github.com/ggml-org/llama.cpp"
    ),
    Preset("vllm", "http://localhost:8000/v1", (), "compatible", "docs.vllm.ai"),
    Preset("lmstudio", "http://localhost:1234/v1", (), "compatible", "lmstudio.ai"),
)

#: By name, in the order to list them in.
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
