"""The dialects of the meshes, one per file and found by themselves; see `canary.metrics.dialect`."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from canary.metrics.dialect import Dialect
from canary.model.spec import MeshTelemetry


@cache
def discover() -> Mapping[MeshTelemetry, Dialect]:
    """Every dialect by what a person calls it: each module here has a module-level `DIALECT`."""
    modules = (importlib.import_module(found.name) for found in pkgutil.iter_modules(__path__, prefix=f"{__name__}."))
    dialects: list[Dialect] = [module.DIALECT for module in modules]
    return MappingProxyType({dialect.telemetry: dialect for dialect in dialects})
