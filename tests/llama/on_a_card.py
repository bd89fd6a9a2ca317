"""A worker that takes its machine for one with a GPU of its own. The CPU computes, the rest goes as on a card."""

from rung.tiers.llama.devices import Device
from rung.tiers.llama.worker import placing
from rung.tiers.llama.worker.start import main

CARD = Device("CUDA0", "NVIDIA GeForce RTX 3060", "gpu", 11 << 30, 12 << 30)


def be_worker() -> None:
    """Serve as a worker on the card, if the command line says so."""
    placing.devices = lambda: (CARD,)
    main()


if __name__ == "__main__":
    be_worker()
