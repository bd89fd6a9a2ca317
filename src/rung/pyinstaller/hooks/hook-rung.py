"""PyInstaller: what an app needs of rung beside what its imports show."""

from importlib.metadata import entry_points

from PyInstaller.utils.hooks import collect_submodules, copy_metadata

from rung.store.entries import catalogue_files
from rung.store.licences import apache

_APART = ("cli", "bundle", "serve", "batch", "machine", "learn", "testing", "pyinstaller", "__main__")
"""Rooms for commands, servers, studies and tests. They come along where an app imports them."""

# The catalogue, which names the models. In a source checkout it lies elsewhere.
datas = [(str(file), "rung/store/catalogue") for file in catalogue_files()]
datas += [(str(apache()), "rung/store/texts")]
# The version of llama-cpp-python is part of what an answer depends on.
datas += copy_metadata("rung") + copy_metadata("llama-cpp-python")

# Rooms import modules by their names when they are used, and some modules are programs in processes of their own.
hiddenimports = collect_submodules("rung", filter=lambda name: (*name.split("."), "")[1] not in _APART)

# Kinds of tiers, ours and those of other packages.
for _tier in entry_points(group="rung.tiers"):
    hiddenimports.append(_tier.module)
    if _tier.dist is not None:
        datas += copy_metadata(_tier.dist.name)

# For evaluating and for the command line. An app that uses them itself gets them all the same.
excludedimports = ["matplotlib", "scipy", "sklearn", "typer", "rich", "genai_prices", "pip", "IPython"]
