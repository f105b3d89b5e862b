"""A whole release among hostile neighbours: what they write is told to people legibly and decides nothing."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from deployed_rights import ACCOUNT, HOME, grant_rights
from scripted_prometheus import ScriptedPrometheus
from shop import Shop
from shop_cluster import install_definitions
from shop_objects import CANARY, STABLE

from canary.bootstrap import build_controller
from canary.kube.membership import GROUP_LABEL, SEEN_ANNOTATION
from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.kube_api import ApiError, ApiServer, Kind
from canary.settings import Settings

pytest_plugins = ("shop_fixtures",)

FOUL: Final = "\x1b[2J\x07\u202egnp\u2066\nforged: line <script>x</script> [/red] " + "A" * 5000
LEASES: Final = Kind(group="coordination.k8s.io", version="v1", plural="leases")


def unprintable(document: object) -> list[str]:
    """Everything in a document that a terminal would obey, or that nobody would read to its end."""
    texts = re.findall(r'"((?:[^"\\]|\\.)*)"', json.dumps(document, ensure_ascii=False))
    spoken = [json.loads(f'"{text}"') for text in texts]
    return [text for text in spoken if len(text) > 1024 or not all(each.isprintable() or each == "\n" for each in text)]


def answer_foully(handler: Any) -> None:
    handler.send(503, {"status": "error", "errorType": FOUL, "error": FOUL})


def test_a_release_among_hostile_neighbours_ends_as_it_should_and_is_told_legibly(shop: Shop) -> None:
    shop.opens()

    def foul_a_route(http: list[dict[str, Any]]) -> None:
        http[0]["name"] = http[2]["name"] = FOUL

    shop.routes(foul_a_route)
    shop.annotates(abort=FOUL, approve=f"{FOUL}/1")
    shop.ships("v2")
    shop.runs_until(lambda: shop.weight == 10)
    shop.prometheus.breaks(answer_foully)
    shop.ticks(3)
    assert shop.verdict == "ERROR"
    assert "\\x1b[2J" in shop.message, "spelt out, so that the cause can be seen"
    shop.prometheus.recovers()
    shop.specifies(traffic={"istio": {"routes": ["absent\x1b[31m"]}})
    shop.ticks(2)
    assert "absent\\x1b[31m" in shop.message
    shop.specifies(traffic={"istio": {"routes": ["primary"]}})
    shop.runs_until("Succeeded")
    assert shop.runs(STABLE) == "v2"
    assert shop.replicas(CANARY) == 0
    assert unprintable(shop.status) == []
    assert unprintable(shop.events()) == []


@pytest.fixture(scope="module")
def own_apiserver() -> Iterator[Apiserver]:
    with running_apiserver(accounts=[ACCOUNT]) as server:
        install_definitions(server.kubeconfig)
        grant_rights(server.kubeconfig)
        yield server


def test_who_else_shares_the_work_is_written_down_legibly(
    own_apiserver: Apiserver, prometheus: ScriptedPrometheus, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    api = ApiServer(own_apiserver.kubeconfig)
    spec = {"holderIdentity": FOUL, "leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"}
    metadata = {"name": "canary-controller-foul", "labels": {GROUP_LABEL: "canary-controller"}}
    api.create(LEASES.path(HOME), {"metadata": metadata, "spec": spec})
    settings = Settings(
        kubeconfig=own_apiserver.accounts[ACCOUNT], prometheus_url=prometheus.url, listen_port=0, identity=FOUL
    )
    controller, stop = build_controller(settings), threading.Event()
    thread = threading.Thread(target=controller.service.run, args=(stop,))
    ours = LEASES.path(HOME, controller.service.membership.name)

    def seen() -> str:
        try:
            return str(api.get(ours)["metadata"]["annotations"][SEEN_ANNOTATION])
        except ApiError:
            return ""

    with controller.web:
        thread.start()
        wait_for(lambda: "gnp" in seen())
        lease = api.get(ours)
        stop.set()
        thread.join(10)
    api.close()
    assert "\\x1b[2J" in lease["metadata"]["annotations"][SEEN_ANNOTATION]
    assert unprintable(lease) == []


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    def wait(holds: Callable[[], bool]) -> None:
        pause = threading.Event()
        assert any(holds() or pause.wait(0.05) for _ in range(400)), "not within 20 s"

    return wait
