"""`python -m rung.tiers.llama.worker`, which a host starts."""

from rung.tiers.llama.worker.start import main

main()
