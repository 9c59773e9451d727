"""Fleet, policy and journal from one TOML file."""

from qiskit_gateway.config_file.loader import Config, config_schema, load_config

__all__ = ["Config", "config_schema", "load_config"]
