"""Canaries as an API server holds them, for the tests of this room."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from canary.model.spec import ObjectKey
from canary.ports import CanaryObject

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def canary(  # noqa: PLR0913 (one word per thing that a test may want to differ)
    name: str = "order-service",
    *,
    namespace: str = "shop",
    stable: str = "stable",
    canary: str = "canary",
    virtual_service: str = "orders",
    routes: tuple[str, ...] = (),
    age: timedelta = timedelta(hours=1),
    generation: int = 1,
    uid: str = "",
    status: dict[str, Any] | None = None,
    **spec: Any,
) -> CanaryObject:
    """A Canary that names these objects; `spec` adds fields, right or wrong."""
    key = ObjectKey(namespace, name)
    document: dict[str, Any] = {
        "apiVersion": "canary.delivery/v1alpha1",
        "kind": "Canary",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "stable": {"deployment": stable},
            "canary": {"deployment": canary},
            "traffic": {"istio": {"virtualService": virtual_service, "routes": list(routes)}},
            **spec,
        },
        **({"status": deepcopy(status)} if status is not None else {}),
    }
    return CanaryObject(
        key=key,
        uid=uid or f"uid of {key}",
        version="1",
        generation=generation,
        created=NOW - age,
        annotations={},
        document=document,
    )
