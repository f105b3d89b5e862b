"""What the API server says when it refuses: a ``Status`` document with code, reason and details.

Clients branch on ``code`` and ``reason``, people read ``message``; both follow the real server's wording, because tests
and tools match on it. One exception class with constructors was chosen over a class per reason: nothing in here ever
catches one kind of refusal differently from another, except through the ``code``.
"""

from collections.abc import Iterable
from typing import Any


class ApiError(Exception):
    """A refusal that the HTTP layer answers as a ``Status``.

    Args:
        code: HTTP status code.
        reason: The machine-readable reason, such as ``AlreadyExists``.
        message: The sentence for a person.
        details: ``Status.details``, which names the object and the causes.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """Return the ``Status`` document a client receives."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def qualified(plural: str, group: str) -> str:
    """Return ``deployments.apps``, or ``pods`` for the core group, as messages name a resource."""
    return f"{plural}.{group}" if group else plural


def _details(plural: str, group: str, name: str, **more: object) -> dict[str, Any]:
    named = {"name": name, "group": group, "kind": plural}
    return {key: value for key, value in named.items() if value} | more


def not_found(plural: str, group: str, name: str) -> ApiError:
    """Refuse because the named object does not exist."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(plural, group, name))


def no_such_path() -> ApiError:
    """Refuse because no resource is served under the requested path."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """Refuse a create because the name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str = "") -> ApiError:
    """Refuse a write whose precondition (resourceVersion or uid) no longer holds."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(plural, group, name))


def bad_request(message: str) -> ApiError:
    """Refuse because the request itself cannot be understood."""
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """Refuse because the history that the client asks for has been compacted: it must list again."""
    return ApiError(410, "Expired", message)


def forbidden(plural: str, group: str, name: str, why: str) -> ApiError:
    """Refuse what the object's life cycle does not allow."""
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    return ApiError(403, "Forbidden", message, _details(plural, group, name))


def method_not_allowed() -> ApiError:
    """Refuse a verb that the resource does not serve."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unprocessable_patch() -> ApiError:
    """Refuse a JSON patch that cannot be applied; the real server's message is as unhelpful as this one."""
    return ApiError(422, "Invalid", "the server rejected our request due to an error in our request")


def unsupported_media(accepted: Iterable[str]) -> ApiError:
    """Refuse a content type that this endpoint does not decode; kubectl's ``create`` commands send protobuf."""
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)} "
        "(the lab's API server reads no protobuf: write a manifest and use kubectl apply)"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def invalid(kind: str, group: str, name: str, causes: list[dict[str, str]]) -> ApiError:
    """Refuse an object whose content is wrong.

    Args:
        kind: The kind of the object, as in its manifest.
        group: Its API group, empty for the core group.
        name: Its name.
        causes: One ``{"reason", "message", "field"}`` per fault, as ``schema.cause`` makes them.
    """
    faults = [f"{cause['field']}: {cause['message']}" for cause in causes]
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    message = f'{qualified(kind, group)} "{name}" is invalid: {text}'
    return ApiError(422, "Invalid", message, _details(kind, group, name, causes=causes))
