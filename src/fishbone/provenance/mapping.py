"""YAML files that people write: a mapping, in which each key is there once."""

import json
from pathlib import Path

import yaml

from fishbone.errors import InputError
from fishbone.provenance.lock import LOADER


class _EachKeyOnce(LOADER):
    """YAML without keys that are twice in one mapping: PyYAML keeps the last and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if (name := (key.tag, str(key.value))) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict:
    """The file's content (YAML 1.1, as PyYAML reads it: ``1e-05`` is text).

    Raises:
        InputError: no such file, broken YAML, a key twice, no mapping, or a value that JSON has not, such as a date.
    """
    try:
        value = yaml.load(path.read_bytes(), Loader=_EachKeyOnce)
        json.dumps(value)
    except FileNotFoundError:
        raise InputError("file is missing", file=path, remedy="Run this in the project's root folder.") from None
    except yaml.YAMLError as error:
        where = str(error).replace('\n  in "<byte string>"', "")  # the message names the file already
        problem = f"not valid YAML: {' '.join(where.split())}"
        raise InputError(problem, file=path, remedy="Mend the line that it names.") from None
    except RecursionError:
        remedy = "A block is a mapping of a few levels."
        raise InputError("is nested too deeply", file=path, remedy=remedy) from None
    except (TypeError, ValueError) as error:
        remedy = "Quote dates and other special values, and leave cycles of aliases out."
        raise InputError(f"holds what parameters cannot be: {error}", file=path, remedy=remedy) from None
    if not isinstance(value, dict):
        raise InputError("holds no mapping", file=path, value=value, remedy="Give one block per stage.")
    return value
