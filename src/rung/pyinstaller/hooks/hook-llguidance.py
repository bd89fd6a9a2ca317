"""PyInstaller: llguidance without the libraries that it can be used with, of which only llama.cpp is needed."""

from PyInstaller.utils.hooks import copy_metadata

# It reads its own version when it is imported.
datas = copy_metadata("llguidance")
hiddenimports = ["llguidance.llamacpp", "llguidance.numpy"]
excludedimports = ["torch", "transformers", "tokenizers", "tiktoken", "mlx"]
