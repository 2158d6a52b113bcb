"""Write the table of settings in docs/deployment.md from the settings class; --check only compares.

.venv/bin/python scripts/settings_table.py [--check]
"""

import sys
from pathlib import Path
from typing import Any

from app.settings import Settings

PAGE = Path(__file__).resolve().parent.parent / "docs" / "deployment.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def main() -> None:
    """Rewrite the table, or exit with 1 when --check finds it stale."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + table() + END + after
    if "--check" not in sys.argv:
        PAGE.write_text(fresh)
    elif fresh != text:
        sys.exit(f"{PAGE.name} is stale: run scripts/settings_table.py")


def table() -> str:
    """A Markdown table: variable, default, allowed values, sentence."""
    rows = ["| variable | default | allowed | what it is |", "|---|---|---|---|"]
    prefix = Settings.model_config["env_prefix"]
    schema = Settings.model_json_schema()["properties"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in {None, "", ()} else f"`{field.default}`"
        if isinstance(field.default, bool):
            default = default.lower()
        cells = [f"`{prefix}{name.upper()}`", default, allowed(schema[name]), field.description]
        rows.append(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def allowed(schema: dict[str, Any]) -> str:
    """The bounds of one setting in words a person reads."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema.get("type") == "boolean":
        return "`true`, `false`"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f"{low:,.0f} to {high:,.0f}"
    return "" if low is None else f"at least {low:,.0f}"


if __name__ == "__main__":
    main()
