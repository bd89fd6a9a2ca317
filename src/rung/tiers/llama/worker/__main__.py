"""`python -m rung.tiers.llama.worker`, which a host starts."""

from rung.tiers.llama.worker.program import main

main()
