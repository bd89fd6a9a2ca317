"""Makes the tables of `docs/configuration.md` anew, from the models that read `rung.toml`."""

from pathlib import Path

from rung.config.reference import filled

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
