"""Fleet, policy and journal from one TOML file."""

from qiskit_gateway.config_file.loader import config_schema
from qiskit_gateway.primitives.configured import Config, load_config

__all__ = ["Config", "config_schema", "load_config"]
