"""PyInstaller: of huggingface_hub only the download of a file is needed."""

excludedimports = [
    "PIL",
    "fastapi",
    "starlette",
    "gradio",
    "click",
    "typer",
    "rich",
    "fsspec",
    "torch",
    "tensorflow",
    "aiohttp",
]
