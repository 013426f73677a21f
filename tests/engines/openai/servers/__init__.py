"""Servers that stand in for those that the kind `openai` speaks to: real sockets, each dialect, every fault.

Written from public documentation and sources, which each module names; what they say are countable beeps.
"""

from tests.engines.openai.servers.cosyvoice import CosyVoice
from tests.engines.openai.servers.index_tts_vllm import IndexTtsVllm
from tests.engines.openai.servers.kokoro_fastapi import KokoroFastAPI
from tests.engines.openai.servers.localai import LocalAI
from tests.engines.openai.servers.openai import OpenAI
from tests.engines.openai.servers.server import Server
from tests.engines.openai.servers.speaches import Speaches
from tests.engines.openai.servers.vllm_omni import VllmOmni

__all__ = ["CosyVoice", "IndexTtsVllm", "KokoroFastAPI", "LocalAI", "OpenAI", "Server", "Speaches", "VllmOmni"]
