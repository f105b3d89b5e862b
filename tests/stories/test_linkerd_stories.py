"""Releases in a Linkerd mesh: split by an HTTPRoute, counted by Linkerd's proxies, beside others that Istio's count."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from deployed_rights import ACCOUNT
from gateway_shop import GatewayShop
from scripted_meshes import LINKERD
from scripted_prometheus import ScriptedPrometheus
from scripted_traffic import noisy_pods
from shop_objects import STABLE, analysis

from canary.lab.apiserver import Apiserver

pytest_plugins = ("shop_fixtures",)

BAD = 200
"""Failures per mille that no analysis may overlook."""


@pytest.fixture
def shop(apiserver: Apiserver, prometheus: ScriptedPrometheus) -> Iterator[GatewayShop]:
    found = GatewayShop(apiserver.kubeconfig, prometheus, "HTTPRoute", apiserver.accounts[ACCOUNT])
    prometheus.meshes[found.namespace] = LINKERD
    yield found
    found.closes()


def test_a_good_version_is_promoted_on_the_word_of_linkerds_proxies(shop: GatewayShop) -> None:
    shop.opens(analysis=analysis(telemetry="linkerd"))
    shop.ships("v2")

    shop.runs_until("Progressing")
    began = shop.watermark
    shop.runs_until("Succeeded")

    assert shop.totals == shop.served_since(began)
    assert shop.totals["canary"].requests > 1000
    assert shop.runs(STABLE) == "v2"


def test_a_bad_version_is_rolled_back_on_the_word_of_linkerds_proxies(shop: GatewayShop) -> None:
    shop.opens(analysis=analysis(telemetry="linkerd"))
    shop.ships("v2", failing=BAD)

    shop.runs_until("Failed")

    assert (shop.weights, shop.runs(STABLE)) == ((100, 0), "v1")


def test_a_canary_that_names_the_wrong_mesh_holds_until_somebody_names_the_right_one(shop: GatewayShop) -> None:
    shop.opens()
    shop.ships("v2")
    shop.runs_until(lambda: "Prometheus holds no istio_requests_total{" in shop.message)

    assert (shop.weight, shop.verdict) == (10, "NODATA")

    shop.specifies(analysis=analysis(telemetry="linkerd"))
    shop.runs_until("Succeeded")


def test_a_mesh_that_is_nowhere_is_named_by_its_series(shop: GatewayShop, prometheus: ScriptedPrometheus) -> None:
    prometheus.meshes.clear()
    shop.opens(analysis=analysis(telemetry="linkerd"))
    shop.ships("v2")
    named = f'response_total{{dst_namespace="{shop.namespace}",dst_deployment="{STABLE}"}} from direction outbound'
    shop.runs_until(lambda: f"Prometheus holds no {named}" in shop.message)

    assert (shop.weight, shop.verdict) == (10, "NODATA")


def test_how_noisy_stable_is_by_itself_is_learned_from_the_inbound_side(
    shop: GatewayShop, prometheus: ScriptedPrometheus
) -> None:
    until = shop.clock.now().replace(microsecond=0) + timedelta(minutes=5)
    prometheus.pods[shop.namespace] = noisy_pods(np.random.default_rng(7), until, swing=1)
    shop.opens(analysis=analysis(telemetry="linkerd"))
    shop.ships("v2")
    shop.runs_until(lambda: bool(shop.status.get("analysis", {}).get("noise")))

    level, *_ = shop.status["analysis"]["noise"]["errors"]
    assert level > 100
