"""The formats that runs are exported to, by the names that users type."""

from typing import Literal

Name = Literal["ctranslate2", "onnx"]
