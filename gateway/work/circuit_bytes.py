"""Circuits as bytes."""

from io import BytesIO
from json import JSONEncoder

from qiskit.circuit import QuantumCircuit
from qiskit.qpy import dump


def write_qpy(circuit: QuantumCircuit) -> bytes:
    """Encode a circuit as QPY, without its metadata and those of the circuits in it.

    Metadata may be anything, and QPY takes only what JSON does.

    Raises:
        Exception: Whatever that does which the user's gates are made of.
    """
    buffer = BytesIO()
    dump(circuit, buffer, metadata_serializer=_NoMetadata)
    return buffer.getvalue()


class _NoMetadata(JSONEncoder):
    def encode(self, _: object) -> str:
        return "{}"
