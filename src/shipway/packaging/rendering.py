"""Templates of this part, rendered strictly: a name without a value is an error, not a gap."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: object) -> str:
    """The text of ``templates/<template>`` with *values*, each checked by the caller.

    Variables stand in ``<< >>`` in workflow files, because ``{{ }}`` is GitHub's own there.
    """
    workflow = template.endswith(".yml.j2")
    environment = Environment(
        loader=PackageLoader("shipway.packaging"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML is made here
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        variable_start_string="<<" if workflow else "{{",
        variable_end_string=">>" if workflow else "}}",
    )
    return environment.get_template(template).render(**values)
