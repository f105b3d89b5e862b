"""The HTTP shell: one ASGI application that turns requests into verbs and answers into responses.

Starlette brings requests and responses; its router is left out, because the paths of an API server come from data that
changes at run time (CustomResourceDefinitions). Between reading the body and sending the answer nothing is awaited, so
verbs never interleave.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from canary.lab.apiserver import deletion, discovery, openapi, reads, scale, writes
from canary.lab.apiserver.access import Access, Attempt, refuse, resource_attempt
from canary.lab.apiserver.audit import AuditLog
from canary.lab.apiserver.cluster import NAMESPACES, Cluster
from canary.lab.apiserver.errors import ApiError, method_not_allowed, no_such_path
from canary.lab.apiserver.requests import (
    Query,
    ResourcePath,
    decode_body,
    decode_patch,
    parse_path,
    table_include,
)
from canary.lab.apiserver.store import Stored, encode
from canary.lab.apiserver.tables import table
from canary.lab.apiserver.watching import Watch
from canary.lab.apiserver.writes import Target

Document = dict[str, Any]

MAX_BODY_BYTES = 3 * 1024 * 1024  # the real server's limit
RETURNED_WHEN_DELETED = {("", "pods"), ("", "services"), ("", "serviceaccounts"), NAMESPACES}
HEALTH = {"healthz", "readyz", "livez"}


class Application:
    """The ASGI application of one cluster.

    Args:
        cluster: The state it serves.
        access: Decides who may do what; without it everybody may do everything.
        audit: Where every decision is recorded.
    """

    def __init__(self, cluster: Cluster, access: Access | None = None, audit: AuditLog | None = None) -> None:
        self._cluster = cluster
        self._access = access
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = self._guarded(request, await _read_body(request))
        except ApiError as error:
            response = _json(error.status(), error.code)
        await response(scope, receive, send)

    def _guarded(self, request: Request, body: bytes) -> Response:
        """Answer whoever may ask."""
        parts = [part for part in request.scope["path"].split("/") if part]
        if self._access is None:
            return self._answer(request, parts, body)
        user = self._access.authenticate(request.headers.get("authorization", ""))
        attempt = _attempt(request, parts)
        allowed = self._access.allows(user, attempt)
        try:
            if not allowed:
                raise refuse(user, attempt)
            response = self._answer(request, parts, body)
        except ApiError as error:
            response = _json(error.status(), error.code)
        if self._audit is not None:
            self._audit.write(user, attempt, request.url.path, allowed=allowed, code=response.status_code)
        return response

    def _answer(self, request: Request, parts: list[str], body: bytes) -> Response:
        if _is_resource(parts):
            return self._resource(request, parse_path(parts), body)
        return self._about(parts)

    def _about(self, parts: list[str]) -> Response:
        """Answer what describes the server."""
        catalogue = self._cluster.catalogue
        match parts:
            case [health] if health in HEALTH:
                return Response("ok", media_type="text/plain")
            case ["version"]:
                return _json(discovery.VERSION)
            case ["api"]:
                return _json(discovery.core_versions())
            case ["api", version]:
                return _json(discovery.resources(catalogue, "", version))
            case ["apis"]:
                return _json(discovery.groups(catalogue))
            case ["apis", group]:
                return _json(discovery.group(catalogue, group))
            case ["apis", group, version]:
                return _json(discovery.resources(catalogue, group, version))
            case ["openapi", "v3"]:
                return _json(openapi.index(catalogue))
            case ["openapi", "v3", "api", version]:
                return _json(openapi.document(catalogue, "", version))
            case ["openapi", "v3", "apis", group, version]:
                return _json(openapi.document(catalogue, group, version))
            case []:
                return _json({"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]})
            case _:
                raise no_such_path()

    def _resource(self, request: Request, path: ResourcePath, body: bytes) -> Response:
        api_version = f"{path.group}/{path.version}"
        for kind in discovery.REVIEWS.get(api_version, ()):
            if path.plural == f"{kind.lower()}s" and request.method == "POST":
                return self._review(request, kind, decode_body(body, request.headers.get("content-type", "")))
        resource = self._cluster.catalogue.find(path.group, path.version, path.plural)
        if path.namespace and not resource.namespaced:
            raise no_such_path()
        namespace = path.namespace if resource.namespaced else ""
        target = Target(resource=resource, namespace=namespace, name=path.name, subresource=path.subresource)
        call = _Call(self._cluster, request, target, body)
        if path.subresource:
            return call.subresource()
        return call.one() if path.name else call.collection()

    def _review(self, request: Request, kind: str, document: Document) -> Response:
        """Answer ``kubectl auth can-i``; other reviews are answered as if everything were allowed."""
        asked = (document.get("spec") or {}).get("resourceAttributes")
        if self._access is None or kind != "SelfSubjectAccessReview" or not isinstance(asked, dict):
            return _json(discovery.review(kind, document), 201)
        user = self._access.authenticate(request.headers.get("authorization", ""))
        words = ("verb", "group", "resource", "subresource", "namespace", "name")
        attempt = Attempt(**{word: str(asked.get(word) or "") for word in words})
        return _json(document | {"status": {"allowed": self._access.allows(user, attempt)}}, 201)


class _Call:
    """One request for a resource."""

    def __init__(self, cluster: Cluster, request: Request, target: Target, body: bytes) -> None:
        self._cluster, self._request, self._target, self._body = cluster, request, target, body
        self._query = Query(request.scope["query_string"])
        self._content_type = request.headers.get("content-type", "")
        self._include = table_include(request.headers.get("accept", ""), self._query)

    def collection(self) -> Response:
        """List, watch, create, or delete many."""
        match self._request.method:
            case "GET":
                return self._watch() if self._query.flag("watch") else self._list()
            case "POST" if self._target.namespace or not self._target.resource.namespaced:
                options = self._query.writing(self._request.headers.get("user-agent", ""))
                document = decode_body(self._body, self._content_type)
                stored = writes.create(self._cluster, self._target, document, options)
                return self._object(stored, 201, options.warnings)
            case "DELETE":
                return self._delete_many()
            case _:
                raise method_not_allowed()

    def one(self) -> Response:
        """Get, watch, replace, patch or delete one object."""
        if self._target.resource.namespaced and not self._target.namespace:
            raise no_such_path()
        match self._request.method:
            case "GET" if self._query.flag("watch"):
                return self._watch()
            case "GET":
                return self._object(writes.existing(self._cluster, self._target))
            case "PUT":
                return self._put()
            case "PATCH":
                return self._patch()
            case "DELETE":
                return self._delete()
            case _:
                raise method_not_allowed()

    def subresource(self) -> Response:
        """Serve ``/status`` and ``/scale``."""
        resource, name = self._target.resource, self._target.subresource
        if name == "status" and resource.status:
            match self._request.method:
                case "GET":
                    return self._object(writes.existing(self._cluster, self._target))
                case "PUT":
                    return self._put()
                case "PATCH":
                    return self._patch()
                case _:
                    raise method_not_allowed()
        if name == "scale" and resource.scale:
            return self._scale()
        raise no_such_path()

    def _list(self) -> Response:
        resource, query = self._target.resource, self._query.listing()
        page = reads.list_page(self._cluster, resource, self._target.namespace, query)
        if self._include is None:
            return Response(reads.encode_list(resource, page), media_type="application/json")
        documents = [stored.document for stored in page.items]
        return _json(table(resource, documents, page.metadata, self._include))

    def _watch(self) -> Response:
        target, query = self._target, self._query.listing(self._target.name)
        watch = Watch(self._cluster, target.resource, target.namespace, query, self._query.watching(self._include))
        return StreamingResponse(watch.lines(), media_type="application/json")

    def _put(self) -> Response:
        options = self._query.writing(self._request.headers.get("user-agent", ""))
        document = decode_body(self._body, self._content_type)
        return self._object(writes.update(self._cluster, self._target, document, options), 200, options.warnings)

    def _patch(self) -> Response:
        options = self._query.writing(self._request.headers.get("user-agent", ""))
        media_type, body = decode_patch(self._body, self._content_type, self._target.resource)
        self._query.check_apply(media_type)
        stored, created = writes.patch(self._cluster, self._target, media_type, body, options)
        return self._object(stored, 201 if created else 200, options.warnings)

    def _scale(self) -> Response:
        target = self._target
        current = scale.read_scale(target, writes.existing(self._cluster, target))
        if self._request.method == "GET":
            return _json(current)
        if self._request.method == "PUT":
            wanted = decode_body(self._body, self._content_type)
        elif self._request.method == "PATCH":
            media_type, body = decode_patch(self._body, self._content_type, target.resource)
            wanted = writes.patched(target.resource, current, media_type, body)
        else:
            raise method_not_allowed()
        options = self._query.writing(self._request.headers.get("user-agent", ""))
        return _json(scale.read_scale(target, scale.write_scale(self._cluster, target, wanted, options)))

    def _delete(self) -> Response:
        resource = self._target.resource
        options = self._query.deleting(self._delete_body())
        stored = writes.existing(self._cluster, self._target)
        last, gone = deletion.delete(self._cluster, resource, stored, options)
        if not gone or resource.storage in RETURNED_WHEN_DELETED:
            return self._object(last)
        details = {"name": self._target.name, "group": resource.group, "kind": resource.plural}
        details = {key: value for key, value in details.items() if value} | {"uid": last.document["metadata"]["uid"]}
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return _json(done)

    def _delete_many(self) -> Response:
        target, options = self._target, self._query.deleting(self._delete_body())
        page = reads.list_page(self._cluster, target.resource, target.namespace, self._query.listing())
        for stored in page.items:
            metadata = stored.document["metadata"]
            place = (target.resource.storage, metadata.get("namespace", ""), metadata["name"])
            if self._cluster.store.get(*place) is not None:  # it may have gone with its owner a moment ago
                deletion.delete(self._cluster, target.resource, stored, options)
        return Response(reads.encode_list(target.resource, page), media_type="application/json")

    def _delete_body(self) -> Document:
        document = decode_body(self._body, self._content_type) if self._body else {}
        return document if isinstance(document, dict) else {}

    def _object(self, stored: Stored, code: int = 200, warnings: list[str] | None = None) -> Response:
        resource = self._target.resource
        if self._include is not None:
            metadata = {"resourceVersion": str(stored.revision)}
            return _json(table(resource, [stored.document], metadata, self._include), code)
        response = Response(reads.encode_object(resource, stored), code, media_type="application/json")
        for warning in warnings or ():
            quoted = warning.replace('"', '\\"')
            response.headers.append("Warning", f'299 - "{quoted}"')
        return response


def _is_resource(parts: list[str]) -> bool:
    """Whether a path leads to a resource, or to what describes the server."""
    return len(parts) > {"api": 2, "apis": 3}.get(parts[0] if parts else "", len(parts))


def _attempt(request: Request, parts: list[str]) -> Attempt:
    """What the request attempts, for whoever decides whether it may."""
    if not _is_resource(parts):
        return Attempt(verb=request.method.lower(), path="/" + "/".join(parts))
    query = Query(request.scope["query_string"])
    names = [part for part in query.text("fieldSelector").split(",") if part.startswith("metadata.name=")]
    selected = names[0].removeprefix("metadata.name=").lstrip("=") if len(names) == 1 else ""
    return resource_attempt(request.method, parse_path(parts), watch=query.flag("watch"), selected=selected)


async def _read_body(request: Request) -> bytes:
    if request.method == "GET":
        return b""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise ApiError(413, "RequestEntityTooLarge", f"limit is {MAX_BODY_BYTES} bytes per request")
        chunks.append(chunk)
    return b"".join(chunks)


def _json(document: Document, code: int = 200) -> Response:
    return Response(encode(document), code, media_type="application/json")


def add_namespaces(cluster: Cluster) -> None:
    """Create the namespaces that every cluster has, unless they are there."""
    resource = cluster.catalogue.find("", "v1", "namespaces")
    for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
        if cluster.store.get(NAMESPACES, "", name) is not None:
            continue
        target = Target(resource=resource, namespace="")
        options = writes.WriteOptions(manager="kube-apiserver")
        writes.create(cluster, target, {"metadata": {"name": name}}, options)
