"""The wstream SDK for transforms in Python: a class that gets each record of a topic and says what
becomes of it. See README.md.
"""

from ._export import export
from ._json import JsonObject
from ._record import Bytes, Failure, Output, Record

__all__ = ["Bytes", "Failure", "JsonObject", "Output", "Record", "export"]
