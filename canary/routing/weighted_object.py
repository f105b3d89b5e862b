"""What is done with an object that holds weights, whatever its kind: tell what was found in it, and write it fenced."""

from canary.kube.client import KubeClient
from canary.kube.patch import Operation
from canary.kube.resources import Document, Resource, object_key, resource_version
from canary.model.traffic import ObjectTraffic
from canary.ports import Routing
from canary.routing.authorship import find_author
from canary.routing.weights import Weights, weight_patch


def routing_of(document: Document, traffic: ObjectTraffic, found: Weights) -> Routing:
    """The weights as found in an object that the API server has answered with.

    Args:
        document: the object.
        traffic: what was looked for.
        found: in it; who wrote other lists of rules than those with our weights is nobody's business.
    """
    lists = {path.split("/")[2] for both in found.paths for path in both}  # of /spec/http/0/route/1/weight: http
    return Routing(
        key=object_key(document),
        traffic=traffic,
        version=resource_version(document),
        split=found.split,
        paths=found.paths,
        totals=found.totals,
        document=document,
        author=find_author(document, lists),
    )


def write_weights(
    client: KubeClient,
    resource: Resource,
    routing: Routing,
    canary_weight: int,
    beside: tuple[Operation, ...] = (),
) -> None:
    """Give the canary `canary_weight` percent of what the two get, in every rule, and change nothing else.

    Operations `beside` come after, in the same patch.

    Raises:
        Conflict: the object was changed since `routing` was read; nothing was written.
        Transient: no answer within the deadline; it may have been written.
        Refused: not allowed, or the object is gone.
    """
    operations = (*weight_patch(routing.split, routing.paths, routing.totals, canary_weight), *beside)
    if operations:
        client.patch_json(resource, routing.key, operations, version=routing.version)
