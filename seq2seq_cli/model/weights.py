"""Weights on disk: safetensors files, which can hold numbers and nothing else, with a checksum in their metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from seq2seq_cli.errors import DamagedError, RunError
from seq2seq_cli.files import parse_json, read_bytes
from seq2seq_cli.model.build import MOST_PARAMETERS
from seq2seq_cli.model.formats import FORMAT, by_todays_names
from seq2seq_cli.runs import Run, check_format, write_bytes
from seq2seq_cli.seal import BLANK, is_whole, seal
from seq2seq_cli.wording import shell_word

CHECKSUM = "sha256"
"""The checksum's key in the metadata. It is the checksum of the file with zeros in its own place."""
FORMAT_KEY = "seq2seq_format"

LARGEST_FILE = 4 * MOST_PARAMETERS + (64 << 20)
"""Most bytes of a file of weights: the largest model in fp32, and some more for its header."""
LARGEST = 1e6
"""Largest weight that is accepted. Those of trained models stay below 100; with much larger ones sums might
overflow."""


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter once, by its first name, on the CPU (shared matrices are not repeated)."""
    return {name: parameter.detach().cpu() for name, parameter in model.named_parameters()}


def save_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Write ``state`` into a sealed safetensors file, whole or not at all."""
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    data = _in_one_order(safetensors.torch.save(tensors, {CHECKSUM: BLANK, FORMAT_KEY: str(FORMAT)}))
    seal(data, _checksum_place(data))
    write_bytes(path, data)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a safetensors file. Raises what `read_tensors` does, and DamagedError where they are none."""
    if not path.exists():
        hint = "Train the run to its first evaluation, or continue it with --resume."
        raise RunError("there are no weights here yet.", str(path), hint)
    weights = read_tensors(path)
    for name, tensor in weights.items():
        if not _is_usual(tensor):
            raise DamagedError(f"is damaged: {name} holds what no training leaves.", str(path))
    return by_todays_names(weights)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises RunError where it cannot be read or is of a later version, DamagedError where its content has changed since it
    was written. A file without metadata, from versions before checksums, is taken as it is.
    """
    try:
        data = read_bytes(path, LARGEST_FILE)
    except OSError as error:
        raise RunError(f"cannot be read: {error.strerror}.", str(path)) from None
    place = _checksum_place(data)
    if not is_whole(data, place) if place >= 0 else b'"__metadata__"' in _header(data):
        raise DamagedError("is damaged: it does not match its checksum.", str(path))
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except SafetensorError as error:
        raise DamagedError(f"is damaged: not readable as safetensors ({error}).", str(path)) from None
    check_format(_format(data), FORMAT, str(path))
    return tensors


def _is_usual(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():  # no weights are integers or complex numbers
        return False
    if not tensor.numel():
        return True
    least, most = tensor.float().aminmax()  # NaN if there is one; it fails every comparison
    return bool(least >= -LARGEST) and bool(most <= LARGEST)


def _in_one_order(data: bytes) -> bytearray:
    """``data`` with its metadata sorted by key: safetensors writes them in any order, and equal weights shall give
    equal files."""
    header = parse_json(_header(data))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    size = int.from_bytes(data[:8], "little")
    written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
    assert len(written) == size, "safetensors writes its header as json does"
    return bytearray(data[:8] + written + data[8 + size :])


def _format(data: bytes) -> object:
    """The format number of a file; files of the first format do not hold it."""
    metadata = parse_json(_header(data)).get("__metadata__", {})
    number = metadata.get(FORMAT_KEY, "1")
    return int(number) if number.isdecimal() else number


def _header(data: bytes | bytearray) -> bytes:
    """The JSON that says what the file holds; its length is in the first eight bytes."""
    return bytes(data[8 : 8 + int.from_bytes(data[:8], "little")])


def _checksum_place(data: bytes | bytearray) -> int:
    """Where the checksum stands; -1 where there is none."""
    key = f'"{CHECKSUM}":"'.encode()
    found = _header(data).find(key)
    return -1 if found < 0 else 8 + found + len(key)


def load_best(model: nn.Module, run: Run) -> None:
    """Load the best weights of ``run`` into ``model``. Raises RunError where they are missing or of another shape;
    DamagedError, naming what can be used instead, where they are damaged."""
    try:
        restore(model, read_weights(run.best), str(run.best))
    except DamagedError as problem:
        whole = next((path for path in run.all_kept() if _is_readable(path)), None)
        hint = "Nothing else of this run can be used in its place: train it again."
        if whole is not None:
            command = f"cp {shell_word(whole)} {shell_word(run.best)}"
            hint = f"Copy it from a backup, or use the weights of a late evaluation, which are whole: {command}"
        raise DamagedError(problem.what, problem.where, hint) from None


def _is_readable(path: Path) -> bool:
    try:
        read_weights(path)
    except RunError:
        return False
    return True


@torch.no_grad()
def restore(model: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Copy ``state`` into the parameters of ``model``. Raises RunError where names or shapes differ."""
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    if shapes != wanted:
        name = min(shapes.items() ^ wanted.items())[0]
        raise RunError(
            f"this checkpoint is of another shape: {name} is {shapes.get(name, 'missing')}, "
            f"the configuration asks for {wanted.get(name, 'nothing of that name')}.",
            where,
            "Was config.toml changed after training?",
        )
    for name, parameter in parameters.items():
        parameter.copy_(state[name])
