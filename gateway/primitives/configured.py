"""Primitives from a configuration file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qiskit_gateway.config_file.loader import Settings, read_settings
from qiskit_gateway.primitives.estimator import RouterEstimator
from qiskit_gateway.primitives.sampler import RouterSampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """The contents of a configuration file, and the primitives that they make.

    Attributes:
        fleet: The members.
        policy: Where work goes, and what happens when something fails.
        journal: Path or address of the journal, if the file names one.
    """

    def sampler(self, **options: Any) -> RouterSampler:
        """Return a sampler over the fleet; the options are its ``SamplerOptions``."""
        return RouterSampler(self.fleet, policy=self.policy, options=options, journal=self.journal)

    def estimator(self, **options: Any) -> RouterEstimator:
        """Return an estimator over the fleet; the options are its ``EstimatorOptions``."""
        return RouterEstimator(
            self.fleet, policy=self.policy, options=options, journal=self.journal
        )


def load_config(
    path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None
) -> Config:
    """Load a configuration file and make its backends.

    Args:
        path: Of a TOML file; ``docs/configuration.md`` says what may be in it.
        environ: Where ``{ env = "NAME" }`` is looked up; the process's environment by default.

    Raises:
        ConfigError: If the file cannot be used. It lists the problems, each with its key, and the
            line where it is known.
        OSError: If the file cannot be read.
    """
    read = read_settings(path, environ=environ)
    return Config(fleet=read.fleet, policy=read.policy, journal=read.journal)
