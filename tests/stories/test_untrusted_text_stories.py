"""A whole release among hostile neighbours: what they write is told to people legibly and decides nothing."""

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from deployed_rights import ACCOUNT, HOME, grant_rights
from scripted_prometheus import ScriptedPrometheus
from shop import Shop
from shop_cluster import install_definitions
from shop_objects import CANARY, STABLE

from canary.bootstrap import build_controller
from canary.lab.apiserver import Apiserver, running_apiserver
from canary.lab.kube_api import ApiServer, Kind
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


def test_who_else_holds_the_lease_is_named_legibly(
    own_apiserver: Apiserver, prometheus: ScriptedPrometheus, wait_for: Callable[[Callable[[], bool]], None]
) -> None:
    api = ApiServer(own_apiserver.kubeconfig)
    spec = {"holderIdentity": FOUL, "leaseDurationSeconds": 60, "renewTime": "2026-01-01T00:00:00.000000Z"}
    api.create(LEASES.path(HOME), {"metadata": {"name": "canary-controller"}, "spec": spec})
    api.close()
    settings = Settings(kubeconfig=own_apiserver.accounts[ACCOUNT], prometheus_url=prometheus.url, listen_port=0)
    controller, stop = build_controller(settings), threading.Event()
    thread = threading.Thread(target=controller.service.run, args=(stop,))
    with controller.web:
        thread.start()

        def page() -> str:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{controller.web.port}/readyz", timeout=5) as answer:
                    return str(answer.read().decode())
            except urllib.error.HTTPError as error:
                with error:
                    return ""

        wait_for(lambda: "gnp" in page())
        told = page()
        stop.set()
        thread.join(10)
    assert "standing by for \\x1b[2J" in told
    assert unprintable(told) == []


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    def wait(holds: Callable[[], bool]) -> None:
        pause = threading.Event()
        assert any(holds() or pause.wait(0.05) for _ in range(400)), "not within 20 s"

    return wait
