"""What a file says of itself: JSON under ``fishbone.KEY`` in the ONNX metadata, where a loaded session finds it too.

Keys that others read: ``mean``, ``std``, ``class_names``, ``data`` (`fishbone.bench.reading`), ``method``,
``parent_sparsity``, ``channel_fraction``, ``int8`` (`fishbone.export.origin`).
"""

import json
from collections.abc import Mapping

PREFIX = "fishbone."


def as_texts(facts: Mapping[str, object]) -> dict[str, str]:
    """Facts as metadata hold them, sorted by key.

    Args:
        facts: values that JSON can hold, by key.

    Examples:
        >>> as_texts({"sparsity": 0.95, "data": {"name": "mnist5k"}})
        {'fishbone.data': '{"name": "mnist5k"}', 'fishbone.sparsity': '0.95'}
    """
    return {PREFIX + key: json.dumps(value, sort_keys=True) for key, value in sorted(facts.items())}


def value_of(metadata: Mapping[str, str], key: str) -> object:
    """A fact of a file's metadata; None where it is missing or no JSON.

    Args:
        metadata: all of the file's metadata, as ONNX Runtime gives them.
        key: the fact's name without ``fishbone.``.

    Examples:
        >>> value_of({"fishbone.sparsity": "0.95"}, "sparsity")
        0.95
    """
    try:
        return json.loads(metadata.get(PREFIX + key, "null"))
    except (ValueError, RecursionError):
        return None
