"""The statistical methods, one per file and found by themselves.

A module in this package is a method: it has a module-level `METHOD` that fulfils `canary.judge.method.Method`. Nothing
else has to be told of it; `tests/judge/test_every_method.py` applies its rules to it unasked. A list of methods kept by
hand was rejected: adding a method would then be adding one file and remembering another.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from canary.judge.method import Method


@cache
def discover() -> Mapping[str, Method]:
    """Every method by its name.

    Raises:
        TypeError: when a module has no `METHOD`, or two methods have one name; the message names the module.
    """
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        method: Method | None = getattr(importlib.import_module(module.name), "METHOD", None)
        if method is None:
            raise TypeError(f"{module.name} has no METHOD; every module of {__name__} is one method")
        if method.name in found:
            raise TypeError(f"{module.name} calls its method {method.name!r}, as another module does already")
        found[method.name] = method
    return MappingProxyType(found)
