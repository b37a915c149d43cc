from .adapters import Adapter as Adapter
from .adapters import AdapterConfig as AdapterConfig
from .adapters import merge_adapter as merge_adapter
from .adapters import read_adapter as read_adapter
from .adapters import save_adapter as save_adapter
from .attention import Attention as Attention
from .cache import ActivationCache as ActivationCache
from .cache import cache_bytes as cache_bytes
from .config import RotaryScaling as RotaryScaling
from .config import TransformerConfig as TransformerConfig
from .downloads import DOWNLOADS as DOWNLOADS
from .downloads import get_subject as get_subject
from .generation import KeyValueCache as KeyValueCache
from .generation import generate as generate
from .gguf import load_gguf as load_gguf
from .huggingface import from_huggingface as from_huggingface
from .huggingface import load_huggingface as load_huggingface
from .llama2c import load_llama2c as load_llama2c
from .mlp import FeedForward as FeedForward
from .mlp import activate as activate
from .names import activation_names as activation_names
from .names import component_names as component_names
from .networks import ConvAutoencoder as ConvAutoencoder
from .networks import Mlp as Mlp
from .norms import Normalise as Normalise
from .positions import Positions as Positions
from .positions import may_attend as may_attend
from .subject import Subject as Subject
from .subject import load as load
from .subject import save_subject as save_subject
from .tensors import build_transformer as build_transformer
from .tokenizers import Tokenizer as Tokenizer
from .tokenizers import load_gpt2_tokenizer as load_gpt2_tokenizer
from .tokenizers import load_llama2c_tokenizer as load_llama2c_tokenizer
from .tokenizers import load_tokenizer as load_tokenizer
from .tracr import load_tracr as load_tracr
from .transformer import Layer as Layer
from .transformer import Transformer as Transformer
from .transformer_lens import from_transformer_lens as from_transformer_lens
from .transformer_lens import load_modadd as load_modadd

__all__ = [
    "DOWNLOADS",
    "ActivationCache",
    "Adapter",
    "AdapterConfig",
    "Attention",
    "ConvAutoencoder",
    "FeedForward",
    "KeyValueCache",
    "Layer",
    "Mlp",
    "Normalise",
    "Positions",
    "RotaryScaling",
    "Subject",
    "Tokenizer",
    "Transformer",
    "TransformerConfig",
    "activate",
    "activation_names",
    "build_transformer",
    "cache_bytes",
    "component_names",
    "from_huggingface",
    "from_transformer_lens",
    "generate",
    "get_subject",
    "load",
    "load_gguf",
    "load_gpt2_tokenizer",
    "load_huggingface",
    "load_llama2c",
    "load_llama2c_tokenizer",
    "load_modadd",
    "load_tokenizer",
    "load_tracr",
    "may_attend",
    "merge_adapter",
    "read_adapter",
    "save_adapter",
    "save_subject",
]
