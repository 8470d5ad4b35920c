"""`egomon serve-large`: the server of the large branch, for many monitors."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from egomon.cli import options as opt
from egomon.errors import BundleError, UsageError


@click.command()
@opt.model
@click.option("--port", type=click.IntRange(min=1), default=8000, help="Port of the server.")
@click.option("--check", help="Compare a running server, http://HOST:PORT/v1.")
@click.option("--record", is_flag=True, help="Write the vector to compare servers with.")
@opt.config
def serve_large(
    model: str | None, port: int, check: str | None, record: bool, config: Path | None
) -> None:
    """Print the command that serves a bundle's large model with vLLM, or check a server."""
    from egomon.branches.bundle.locate import find_bundle, read_card
    from egomon.branches.remote.serve import as_shell, serve_command
    from egomon.config import load_settings

    flags = opt.flags(model={"name": model}, large={"endpoint": check})
    settings = load_settings(config, flags)
    folder = find_bundle(settings.model.name)
    card = read_card(folder)
    if card.large is None:
        raise UsageError(f"bundle {card.name!r} has no large branch, so there is nothing to serve")
    if record and check is not None:
        raise UsageError("--record loads the model here and --check asks a server: give one")
    if record:
        from egomon.branches.bundle.locate import CARD_FILE
        from egomon.branches.remote.load import record_probe

        record_probe(folder)
        sys.stdout.write(f"wrote the vector of {card.large.weights} into {folder / CARD_FILE}\n")
    elif check is not None:
        _check(settings.large, folder)
    else:
        sys.stdout.write(as_shell(serve_command(card.large, folder, port=port)) + "\n")


def _check(settings: object, folder: Path) -> None:
    from egomon.branches.load_bundle import load_bundle
    from egomon.branches.remote.branch import EndpointBranch
    from egomon.config_sections import LargeSettings
    from egomon.monitor.operations.large_endpoint import check_endpoint, large_endpoint

    assert isinstance(settings, LargeSettings)
    bundle = load_bundle(folder, with_encoder=False)
    check_endpoint(settings, bundle.card)
    branch = bundle.load_large(large_endpoint(settings))
    if not isinstance(branch, EndpointBranch) or bundle.card.large is None:
        raise BundleError(f"bundle {bundle.card.name!r} has no large branch to compare")
    try:
        cosine = branch.connect()
    finally:
        branch.close()
    sys.stdout.write(
        f"{settings.endpoint} serves the model of {bundle.model_id}: cosine {cosine:.5f}, at least "
        f"{bundle.card.large.least_cosine:g} is needed\n"
    )
