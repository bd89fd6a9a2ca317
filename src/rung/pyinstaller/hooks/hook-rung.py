"""PyInstaller: what an app needs of rung beside what its imports show."""

from importlib.metadata import entry_points

from PyInstaller.utils.hooks import copy_metadata

from rung import _ROOMS, frozen
from rung.store.entries import catalogue_files
from rung.store.licences import apache

# The catalogue, which names the models. In a source checkout it lies elsewhere.
datas = [(str(file), "rung/store/catalogue") for file in catalogue_files()]
datas += [(str(apache()), "rung/store/texts")]
# The version of llama-cpp-python is part of what an answer depends on.
datas += copy_metadata("rung") + copy_metadata("llama-cpp-python")

# Rooms that `rung` imports by name, and programs that run in processes of their own.
hiddenimports = [*_ROOMS, "rung.checks", "rung.deferral", *frozen.PROGRAMS, f"{frozen.WORKER}.__main__"]

# Kinds of tiers, ours and those of other packages.
for _tier in entry_points(group="rung.tiers"):
    hiddenimports.append(_tier.module)
    if _tier.dist is not None:
        datas += copy_metadata(_tier.dist.name)

# For evaluating and for the command line. An app that uses them itself gets them all the same.
excludedimports = ["matplotlib", "scipy", "sklearn", "typer", "rich", "genai_prices", "pip", "IPython"]
