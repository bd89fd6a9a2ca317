"""JSON Schema's drafts: which keywords each has, and where they hold schemas.

The one table of that in the project. A test holds it against the drafts' own meta-schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

_LISTS = (list, tuple)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


Form = Literal["one", "several", "named"]
"""What a keyword's value is: a schema, a list of schemas, or an object of schemas."""

_HELD: Mapping[Form, frozenset[str]] = {
    "one": _words(
        "additionalItems additionalProperties contains contentSchema else if items not propertyNames then "
        "unevaluatedItems unevaluatedProperties"
    ),
    "several": _words("allOf anyOf oneOf prefixItems"),
    "named": _words("$defs definitions dependencies dependentSchemas patternProperties properties"),
}
"""Where schemas hold further ones. A list in the place of one, as `items` may be before 2020-12, is several; a list in
the place of a named one, as in `dependencies`, holds names."""

HOLDERS: Mapping[str, Form] = {key: form for form, keys in _HELD.items() for key in keys}
"""Keywords that hold schemas, and how."""
IN_PLACE = _words("allOf anyOf dependencies dependentSchemas else if not oneOf then")
"""Those of them that apply what they hold to the value itself, not to a part of it."""

SILENT = _words("$comment $defs $schema default definitions deprecated description examples title")
"""Keywords that say nothing of a value."""
ASSERTIONS = _words(
    "const dependentRequired enum exclusiveMaximum exclusiveMinimum format maxItems maxLength maxProperties "
    "maximum minItems minLength minProperties minimum multipleOf required type uniqueItems"
)
"""Keywords that a value is held against by itself; patterns are apart, because they need a time limit."""
_ALWAYS = _words(
    "$comment $defs $id $ref $schema additionalProperties allOf anyOf contentEncoding contentMediaType default "
    "definitions description enum examples format id items maxItems maxLength maxProperties maximum minItems "
    "minLength minProperties minimum multipleOf not nullable oneOf pattern patternProperties properties "
    "required title type uniqueItems"
)
_SINCE_6 = frozenset({"const", "contains", "exclusiveMaximum", "exclusiveMinimum", "propertyNames"})
_SINCE_7 = frozenset({"if", "then", "else", "readOnly", "writeOnly"})
_SINCE_2019 = _words(
    "$anchor $vocabulary contentSchema dependentRequired dependentSchemas deprecated maxContains minContains "
    "unevaluatedItems unevaluatedProperties"
)


@dataclass(frozen=True, slots=True)
class SchemaDraft:
    """One draft.

    Args:
        name: of the validator's class in `jsonschema_rs`, without "Validator".
        uri: of its meta-schema.
        keywords: that it knows and that we do, too.
        unknown: its keywords that depend on how a schema was reached, which is more than can be checked here.
    """

    name: str
    uri: str
    keywords: frozenset[str]
    unknown: frozenset[str] = frozenset()

    @property
    def ref_is_alone(self) -> bool:
        """Whether the keywords beside a `$ref` are ignored."""
        return "$anchor" not in self.keywords

    @property
    def lists_items(self) -> bool:
        """Whether `items` may be a list, as `prefixItems` is later."""
        return "prefixItems" not in self.keywords


_6 = _ALWAYS | _SINCE_6 | {"additionalItems", "dependencies"}
_2019 = _6 | _SINCE_7 | _SINCE_2019
_DRAFTS = (
    SchemaDraft(
        "Draft4", "http://json-schema.org/draft-04/schema", _6 - (_SINCE_6 - {"exclusiveMaximum", "exclusiveMinimum"})
    ),
    SchemaDraft("Draft6", "http://json-schema.org/draft-06/schema", _6),
    SchemaDraft("Draft7", "http://json-schema.org/draft-07/schema", _6 | _SINCE_7),
    SchemaDraft("Draft201909", "https://json-schema.org/draft/2019-09/schema", _2019, frozenset({"$recursiveRef"})),
    SchemaDraft(
        "Draft202012",
        "https://json-schema.org/draft/2020-12/schema",
        (_2019 - {"additionalItems"}) | {"prefixItems", "$dynamicAnchor"},
        frozenset({"$dynamicRef"}),
    ),
)
LATEST = _DRAFTS[-1]
_BY_URI = {draft.uri: draft for draft in _DRAFTS}


def draft_of(uri: str) -> SchemaDraft:
    """The draft that a `$schema` names; the latest for one that nobody knows."""
    return _BY_URI.get(uri.removesuffix("#"), LATEST)


def schemas_in(schema: dict[str, Any], draft: SchemaDraft = LATEST) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas directly in a schema, each with the steps to it."""
    for key, value in schema.items():
        form = HOLDERS.get(key)
        if form is None or key not in draft.keywords:
            continue
        if form == "named":
            if isinstance(value, dict):
                yield from (((key, name), inner) for name, inner in value.items() if not isinstance(inner, _LISTS))
        elif isinstance(value, _LISTS) and (form == "several" or key == "items"):
            yield from (((key, number), inner) for number, inner in enumerate(value))
        elif form == "one":
            yield (key,), value
