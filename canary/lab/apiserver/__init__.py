"""A Kubernetes API server in memory: what a controller, the official client and kubectl can observe of the real one.

Why it exists: the lab and the integration tests need an API server that starts in a fraction of a second, without a
container, etcd or root, and that is *strict* where the real one is. The request mocks on offer fail two thirds of the
behaviours a controller leans on (optimistic locking, status isolation, watch expiry), so they would hide exactly the
faults worth finding. A real kube-apiserver is the other target of the same conformance suite; whatever both do is fact.

The shape is functional core, thin shell. ``store`` is the only mutable state: one revision counter, one table per
stored kind, a bounded history for watches. Pure modules know one rule each: ``patch``, ``fields`` (ownership and
server-side apply), ``schema``, ``selector``, ``tables``, ``discovery``, ``openapi``, ``defaults``. ``reads``,
``writes`` and ``deletion`` compose them into verbs; ``server`` and ``watching`` speak HTTP. One event loop and no
awaits inside a verb make every request atomic, so there is not a single lock. ``access`` authorises by tokens and RBAC,
and ``audit`` records it, where a server is started so; otherwise everybody may do everything.

Not emulated, on purpose: certificates and other ways to authenticate, admission, CEL rules of CRDs
(stored, never evaluated), protobuf, conversion between CRD versions beyond the apiVersion, kind-by-kind semantic
validation beyond what a controller meets, controllers (the lab brings its own kubelet), persistence.
"""

from canary.lab.apiserver.process import Apiserver, running_apiserver

__all__ = ["Apiserver", "running_apiserver"]
