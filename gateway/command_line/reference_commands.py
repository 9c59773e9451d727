"""``tariffs`` and ``schema``: what a configuration may say."""

from qiskit_gateway.backends.pricing.published import ARGUMENTS, list_published
from qiskit_gateway.command_line.endings import EndingError, ExitCode
from qiskit_gateway.command_line.screen import say, show_json, show_table
from qiskit_gateway.config_file.loader import config_schema


def list_tariffs(word: str, *, json: bool) -> ExitCode:
    """List published tariffs with their sources.

    Args:
        word: Only those in whose names this is; all if it is empty.
        json: Print JSON.
    """
    found = [one for one in list_published() if word.lower() in one.name.lower()]
    if not found:
        raise EndingError(f"there is no published tariff with {word!r} in its name")
    if json:
        show_json(found)
        return ExitCode.DONE
    heads = ["tariff", "currency", "asks for", "as of", "source"]
    rows = [
        [one.name, one.currency, ", ".join(one.asks_for) or "-", one.as_of, one.source]
        for one in found
    ]
    show_table(heads, rows)
    asked = {name for one in found for name in one.asks_for}
    for name, meaning in ARGUMENTS.items():
        if name in asked:
            say(f"{name}: {meaning}")
    if word:
        for text in dict.fromkeys(f"note: {one.note}" for one in found if one.note):
            say(text)
    return ExitCode.DONE


def show_schema() -> ExitCode:
    """Print the JSON schema of a configuration, for editors."""
    show_json(config_schema())
    return ExitCode.DONE
