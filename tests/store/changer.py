"""A store that one program changes without end, to be killed: `changer.py ROOT ENTRY_TOML FILE FOLDER`."""

import sys
from pathlib import Path

from rung.store import Store, find, import_file, pull, remove
from rung.store.entries import read_entry


def main() -> None:
    entry = read_entry(Path(sys.argv[2]))
    store = Store(Path(sys.argv[1]), {entry.name: entry})
    file, folder = Path(sys.argv[3]), Path(sys.argv[4])
    while True:
        import_file(file, name="mine", store=store)
        list(find([folder], store=store))
        pull(entry.name, store=store)
        print("round", flush=True)
        for name in ("mine", entry.name, "found"):
            remove(name, store=store)


main()
