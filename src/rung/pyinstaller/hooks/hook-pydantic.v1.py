"""PyInstaller: pydantic's plugins for mypy and hypothesis, which a frozen app doesn't run."""

excludedimports = ["mypy", "hypothesis"]
