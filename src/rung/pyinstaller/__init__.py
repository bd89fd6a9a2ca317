"""What PyInstaller has to know to freeze an app that uses rung. It asks by the entry point `pyinstaller40`."""

from pathlib import Path


def hook_dirs() -> list[str]:
    """The folder of the hooks. They are run by PyInstaller, and are no modules of this package."""
    return [str(Path(__file__).with_name("hooks"))]
