"""PyInstaller: how pydantic prints its own schemas for its developers."""

excludedimports = ["rich"]
