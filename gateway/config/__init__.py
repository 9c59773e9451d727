"""One TOML file: fleet, policy, journal."""

from qiskit_gateway.config.loader import Config, config_schema, load_config

__all__ = ["Config", "config_schema", "load_config"]
