"""PyInstaller: the command line of httpx2, which a frozen app doesn't have."""

excludedimports = ["click", "rich", "pygments"]
