"""PyInstaller: llguidance without the libraries that it can be used with, of which only llama.cpp is needed."""

hiddenimports = ["llguidance.llamacpp", "llguidance.numpy"]
excludedimports = ["torch", "transformers", "tokenizers", "tiktoken", "mlx"]
