"""The record of who asked for what: one line of JSON a request, as kube-apiserver's audit log writes it.

A test of least privilege must know what was really used, refusals included, and a client cannot tell: the controller
survives a refused Event in silence. Level Metadata, one line when the answer is known (for a watch, when it begins), as
``audit.k8s.io/v1`` has it, so that what reads this reads the log of a real server too. Discovery and health are left
out: nobody grants them.
"""

from typing import Any, TextIO

from canary.lab.apiserver.access import Attempt, User
from canary.lab.apiserver.store import encode

Document = dict[str, Any]


class AuditLog:
    """Writes the record.

    Args:
        stream: where to; flushed after every line, because whoever reads it is another process.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, user: User, attempt: Attempt, uri: str, *, allowed: bool, code: int) -> None:
        """Record one request for a resource."""
        if attempt.path:
            return
        target = {
            "apiGroup": attempt.group,
            "resource": attempt.resource,
            "subresource": attempt.subresource,
            "namespace": attempt.namespace,
            "name": attempt.name,
        }
        line: Document = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "stage": "ResponseStarted" if attempt.verb == "watch" else "ResponseComplete",
            "requestURI": uri,
            "verb": attempt.verb,
            "user": {"username": user.name, "groups": list(user.groups)},
            "objectRef": {key: value for key, value in target.items() if value},
            "responseStatus": {"code": code},
            "annotations": {"authorization.k8s.io/decision": "allow" if allowed else "forbid"},
        }
        self._stream.write(encode(line).decode() + "\n")
        self._stream.flush()
