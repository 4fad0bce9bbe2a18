"""Adapters that come with the judge: name -> level -> `module:Class`. The first level is the default."""

_HERE = "reference.conformance.adapters"
BUILT_IN: dict[str, dict[str, str]] = {
    "reference": {"kernel": f"{_HERE}.reference:Rejection"},
    "reference-block": {"kernel": f"{_HERE}.reference:Block"},
    "reference-matching": {"kernel": f"{_HERE}.reference:Matching"},
    "reference-tree": {"kernel": f"{_HERE}.reference:Tree"},
}
