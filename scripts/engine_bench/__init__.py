"""The parts of scripts/bench_engine.py: prompts, parties (each in a process of its own), measures, figures."""
