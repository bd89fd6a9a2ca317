"""JSON Schemas as trees: where a schema holds further ones, the one walk over them, and what a `$ref` points at."""

from rung.schemas.drafts import ASSERTIONS, HOLDERS, IN_PLACE, SILENT, SchemaDraft, draft_of, schemas_in
from rung.schemas.references import followed, pointed
from rung.schemas.walking import MOST_SCHEMAS, Path, property_names, rebuilt, walk

__all__ = [
    "ASSERTIONS",
    "HOLDERS",
    "IN_PLACE",
    "MOST_SCHEMAS",
    "SILENT",
    "Path",
    "SchemaDraft",
    "draft_of",
    "followed",
    "pointed",
    "property_names",
    "rebuilt",
    "schemas_in",
    "walk",
]
