"""The official client at work: typed models, its watch, its leader election."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from api_target import GROUP, ApiTarget, deployment, widget
from kubernetes import client
from kubernetes import watch as client_watch
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.leaselock import LeaseLock

pytest_plugins = ("api_fixtures",)

watch: Any = client_watch  # the vendor's annotations are incomplete
election: Any = leaderelection
election_config: Any = electionconfig
lease_lock: Any = LeaseLock

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the client's own


def test_typed_models_read_what_the_server_writes(api: ApiTarget, space: str) -> None:
    apps: Any = client.AppsV1Api(api.client)
    core: Any = client.CoreV1Api(api.client)
    apps.create_namespaced_deployment(space, deployment("web"))
    apps.patch_namespaced_deployment_scale("web", space, {"spec": {"replicas": 3}})
    found = apps.read_namespaced_deployment("web", space)
    assert (found.spec.replicas, found.metadata.generation) == (3, 2)
    found.spec.template.spec.containers[0].image = "shop:2"
    assert apps.replace_namespaced_deployment("web", space, found).metadata.generation == 3
    ports = [client.V1ServicePort(port=80)]
    service = client.V1Service(
        metadata=client.V1ObjectMeta(name="web"), spec=client.V1ServiceSpec(selector={"app": "web"}, ports=ports)
    )
    core.create_namespaced_service(space, service)
    assert core.list_namespaced_service(space).items[0].spec.ports[0].target_port == 80


def test_events_are_recorded_under_generated_names(api: ApiTarget, space: str) -> None:
    core: Any = client.CoreV1Api(api.client)
    about = client.V1ObjectReference(kind="Widget", name="a", namespace=space, api_version=f"{GROUP}/v1")
    event = client.CoreV1Event(
        metadata=client.V1ObjectMeta(generate_name="a-"),
        involved_object=about,
        reason="Promoted",
        message="it went well",
        type="Normal",
    )
    made = core.create_namespaced_event(space, event)
    assert made.metadata.name.startswith("a-")
    assert len(core.list_namespaced_event(space, field_selector="reason=Promoted").items) == 1


def test_events_of_the_new_group_are_read_as_models(api: ApiTarget, space: str) -> None:
    events: Any = client.EventsV1Api(api.client)
    event = client.EventsV1Event(
        metadata=client.V1ObjectMeta(generate_name="a-"),
        regarding=client.V1ObjectReference(kind="Widget", name="a", namespace=space, api_version=f"{GROUP}/v1"),
        event_time=datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        reporting_controller="canary.delivery/controller",
        reporting_instance="controller-0",
        action="Promote",
        reason="Promoted",
        note="it went well",
        type="Normal",
    )
    events.create_namespaced_event(space, event)
    found = events.list_namespaced_event(space).items[0]
    assert (found.note, found.regarding.name, found.event_time) == ("it went well", "a", event.event_time)


def test_lease_is_taken_by_one(api: ApiTarget, space: str) -> None:
    leases: Any = client.CoordinationV1Api(api.client)
    spec = client.V1LeaseSpec(holder_identity="a", lease_duration_seconds=15)
    lease = client.V1Lease(metadata=client.V1ObjectMeta(name="leader"), spec=spec)
    mine = leases.create_namespaced_lease(space, lease)
    theirs = leases.read_namespaced_lease("leader", space)
    mine.spec.holder_identity, theirs.spec.holder_identity = "a2", "b"
    leases.replace_namespaced_lease("leader", space, mine)
    with pytest.raises(ApiException) as refused:
        leases.replace_namespaced_lease("leader", space, theirs)
    assert refused.value.status == 409


def test_leader_election_of_the_client_elects(api: ApiTarget, space: str) -> None:
    elected = threading.Event()
    client.Configuration.set_default(api.client.configuration)
    config = election_config.Config(
        lease_lock("lock", space, "me"),
        lease_duration=3,
        renew_deadline=2,
        retry_period=1,
        onstarted_leading=elected.set,
        onstopped_leading=lambda: None,
    )
    threading.Thread(target=election.LeaderElection(config).run, daemon=True).start()
    assert elected.wait(10)


def test_watch_of_the_client_delivers_and_ends(api: ApiTarget, space: str) -> None:
    custom: Any = client.CustomObjectsApi(api.client)
    place = (GROUP, "v1", space, "widgets")
    custom.create_namespaced_custom_object(*place, widget("a"))
    start = custom.list_namespaced_custom_object(*place)["metadata"]["resourceVersion"]
    body: Any = [{"op": "replace", "path": "/spec/size", "value": 4}]
    custom.patch_namespaced_custom_object(*place, "a", body, _content_type="application/json-patch+json")
    custom.delete_namespaced_custom_object(*place, "a")
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object, *place, resource_version=start, timeout_seconds=1
    )
    assert [each["type"] for each in stream] == ["MODIFIED", "DELETED"]


def test_watch_of_the_client_raises_gone(api: ApiTarget, space: str) -> None:
    custom: Any = client.CustomObjectsApi(api.client)
    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object, GROUP, "v1", space, "widgets", resource_version="1", timeout_seconds=1
    )
    with pytest.raises(ApiException) as gone:
        list(stream)
    assert gone.value.status == 410
