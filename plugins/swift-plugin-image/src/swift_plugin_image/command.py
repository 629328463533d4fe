"""Write the Dockerfile of a serving engine, and build the image if a builder is available."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("image", short_help="Write the container image of a serving engine")
@click.argument("backend")
@click.option("--device", default="", help="Device of the image: cuda, rocm, cpu, …  [default: that of this machine]")
@click.option("--python", default="", help="Version of Python, such as 3.12.  [default: that of this process]")
@click.option("--base", default="", help="Base image.  [default: python:VERSION-slim]")
@click.option("--output", type=click.Path(path_type=Path), default=Path("image"), show_default=True, help="Folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace the folder if it exists.")
@click.option("--tag", default="", help="Name of the image.  [default: swift-BACKEND:DEVICE]")
@click.option("--compose", is_flag=True, help="Write compose.yaml too, for one machine.")
@click.option("--gateway", is_flag=True, help="With --compose: add a gateway in front of the server.")
@click.option("--prometheus", is_flag=True, help="With --compose: add Prometheus, which scrapes the metrics.")
@click.option("--build/--no-build", default=True, show_default=True, help="Build the image if docker, podman or buildah works here.")
def command(  # noqa: PLR0917 (one parameter per option)
    backend: str,
    device: str,
    python: str,
    base: str,
    output: Path,
    overwrite: bool,
    tag: str,
    compose: bool,
    gateway: bool,
    prometheus: bool,
    build: bool,
) -> None:
    """Write the Dockerfile and the build context of BACKEND into a folder, and build the image if a builder is available.

    The image contains the swift code that is running here, but no weights: mount them at /models. It runs as a non-root user.
    """
    from swift_core.contract import UsageError
    from swift_core.plugins import device_kind
    from swift_plugin_image import builder, context, dockerfile
    from swift_plugin_image.compose import compose as compose_file
    from swift_plugin_image.contents import contents

    if not compose and (gateway or prometheus):
        where = "gateway" if gateway else "prometheus"
        raise UsageError("it needs the Compose file", code="IMAGE-002", where=where, hint="Add --compose.")
    held = contents(backend, device=device or device_kind(), python=python)
    name = tag or f"swift-{held.backend}:{held.device}"
    if gateway and not any(each.name == "swift-gateway" for each in held.ours):
        raise UsageError(
            "the gateway is not installed here, so the image can't contain it",
            code="IMAGE-003",
            where="gateway",
            hint="pip install swift-gateway",
        )
    services = compose_file(held, name, gateway=gateway, prometheus=prometheus) if compose else None
    context.write_context(held, dockerfile.dockerfile(held, base=base), output, compose=services, overwrite=overwrite)
    click.echo(f"written: {output / 'Dockerfile'} ({len(held.ours)} wheels)")
    if compose:
        click.echo(f"written: {output / 'compose.yaml'}")
    program = builder.builder() if build else ""
    if program:
        builder.build(program, output, name)
        click.echo(f"built: {name}")
    else:
        why = "No builder works here" if build else "Not built"
        click.echo(f"{why}. To build: docker build --tag {name} {output}")
