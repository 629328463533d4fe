"""Show the policy that applies, or check a policy file."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("policy")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(file: Path | None, as_json: bool) -> None:
    """Show the rules that apply to runs here, or check FILE before it is installed.

    Files: /etc/swift-core/policy.yaml, ~/.config/swift-core/policy.yaml, and the one that SWIFT_POLICY names; all of them apply.
    """
    from swift_plugin_policy.policy import policies, read_policy

    found = [read_policy(file)] if file else policies()
    if as_json:
        click.echo(json.dumps({str(rules.file): rules.policy.model_dump(exclude_unset=True) for rules in found}, indent=2))
        return
    for rules in found:
        click.secho(str(rules.file), bold=True)
        for key, value in rules.policy.model_dump(exclude_unset=True).items():
            click.echo(f"  {key}: {json.dumps(value)}")
    if not found:
        click.echo("no policy applies")
