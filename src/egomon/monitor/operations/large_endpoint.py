"""The server of the large branch: from settings to an address, and waiting until it is there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from egomon.branches.bundle.locate import find_bundle, read_card
from egomon.branches.onnx.forms import Compute, OnnxForms
from egomon.errors import EgomonError, UsageError
from egomon.stream.backoff import Backoff

if TYPE_CHECKING:
    from egomon.branches.bundle.card import BundleCard
    from egomon.branches.interfaces import RemoteLargeBranch
    from egomon.branches.remote.client import LargeEndpoint
    from egomon.config import Settings
    from egomon.config_sections import LargeSettings
    from egomon.fusion.alert_engine import LargeBranchAccess

logger = logging.getLogger(__name__)


def large_endpoint(settings: LargeSettings) -> LargeEndpoint | None:
    """The server that the settings name; None = the large branch runs on this machine.

    Raises:
        UsageError: its address cannot be used.
        ConfigError: key or certificates cannot be read.
    """
    if settings.endpoint is None:
        return None
    from egomon.branches.remote.client import LargeEndpoint
    from egomon.branches.remote.refusal import API_KEY
    from egomon.fusion.sinks.uri import read_secret

    return LargeEndpoint(
        settings.endpoint,
        model=settings.model,
        api_key=read_secret(settings.api_key_file, "large.api_key_file", API_KEY),
        ca_file=settings.ca_file,
        in_flight=settings.in_flight,
    )


def check_endpoint(settings: LargeSettings, card: BundleCard) -> None:
    """Find mistakes about the server before anything is loaded; it is not asked.

    Raises:
        UsageError: the bundle has no large branch, or as `large_endpoint`.
        MissingExtraError: without httpx.
    """
    endpoint = large_endpoint(settings)
    if endpoint is None:
        return
    if card.large is None:
        raise UsageError(
            f"bundle {card.name!r} has no large branch that a server could compute; leave "
            "--large-endpoint out, or take another bundle"
        )
    from egomon.branches.remote.client import EmbeddingsClient

    EmbeddingsClient(endpoint).close()


def check_large(settings: Settings) -> None:
    """Find out whether the large branch can be had, before a run that is worth nothing without it.

    Raises:
        LargeEndpointError: its server does not answer.
        BundleError: its file is not the one that the card pins.
    """
    endpoint, model = large_endpoint(settings.large), settings.model
    if endpoint is None:
        folder = find_bundle(model.name)
        compute = Compute(model.device, model.dtype, model.engine)
        OnnxForms(folder, read_card(folder).runtime).check_large(compute)
        return
    from egomon.branches.remote.client import EmbeddingsClient

    client = EmbeddingsClient(endpoint)
    try:
        client.models()
    finally:
        client.close()


def await_server(branch: RemoteLargeBranch, access: LargeBranchAccess) -> None:
    """Return once the server is there and serves the bundle's model, or the run is over.

    Until then `access.failed` says why not: alerts go on by the small branch alone.
    """
    backoff = Backoff()
    assert access.queue is not None
    while not access.queue.closed:
        try:
            branch.connect()
        except EgomonError as error:
            if access.failed != str(error):
                logger.warning("alerts go on without the large branch: %s", error)
            access.failed = str(error)
            access.queue.wait_closed(backoff.fail())
        else:
            if access.failed is not None:
                logger.warning("the large branch is there")
            access.failed = None
            return
