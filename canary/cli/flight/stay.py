"""`canary lab up`: brings the lab up, says how to use it, and stays."""

import click

from canary.cli.flight.cockpit import Cockpit, taken_off
from canary.lab.lab import CANARY, NAMESPACE, LabOptions


def stay_up(options: LabOptions, *, with_controller: bool) -> None:
    """Return only when a person or a signal ends it.

    Raises:
        LabError: the lab could not be brought up, or a part of it died.
    """
    click.echo("Starting the lab ...", err=True)
    with taken_off(options, with_controller=with_controller) as cockpit:
        click.echo(_usage(cockpit, options))
        cockpit.lab.wait()


def _usage(cockpit: Cockpit, options: LabOptions) -> str:
    lab = cockpit.lab
    environment = f"export KUBECONFIG={lab.kubeconfig}"
    ship = f"kubectl -n {NAMESPACE} set env deployment/{CANARY}"
    return f"""
The lab is up: {options.rate:g} requests/s go to order-service.

  gateway      {lab.gateway_url}   (Host: order-service.{NAMESPACE})
  Prometheus   {lab.prometheus_url}
  logs         {lab.logs}

In another terminal:

  {environment}
  canary watch {cockpit.name} -n {NAMESPACE}
  {ship} LAB_LATENCY_MS=9                   # ship a good version
  {ship} LAB_ERROR_RATE=0.05                # ship a bad one

Ctrl-C takes everything down.
"""
