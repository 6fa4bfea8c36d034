"""Products in 8-bit integers: near the plain ones, whatever stands beside a row; and searches that take them."""

import pytest
import torch
from combinations import few_cases
from models import HALVES, Case, Halves, Sentences, between, in_turn, tiny_config, tiny_model, tiny_sentences, wirings
from torch import Tensor, nn

from seq2seq_cli.decoding.state import ModelState
from seq2seq_cli.device import Precision, choose_search_precision
from seq2seq_cli.errors import ConfigError
from seq2seq_cli.inputs import TEXT
from seq2seq_cli.model.int8 import BLOCK, LARGEST, Int8Matrix
from seq2seq_cli.model.maps import Linear, StepMatrix
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.processor import choices

CPU = torch.device("cpu")


def is_native() -> bool:
    try:
        return choose_search_precision("int8", CPU).name == "int8"
    except ConfigError:
        return False


native = pytest.mark.skipif(not is_native(), reason="this processor does not multiply 8-bit integers")


def random(*shape: int, seed: int = 0) -> Tensor:
    """Even numbers in [-1, 1)."""
    return 2 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 1


@native
def test_worked_by_hand() -> None:
    # Steps of 1/127 of the largest: 2 and -1 become 127 and -63.5, which is rounded to the even -64; inputs of 1 and
    # 0.5 become 127 and 64, since 63.5 + 128 + 0.5 is cut off at 192.
    weight, x = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.5]])
    expected = (127 * 127 - 64 * 64) * (2 / 127) * (1 / 127)
    for bounded in (True, False):
        torch.testing.assert_close(Int8Matrix(weight, bounded=bounded).product(x).item(), expected)
    with_bias = Int8Matrix(weight, torch.tensor([3.0]), bounded=False).product(x, torch.tensor([[10.0]]))
    torch.testing.assert_close(with_bias.item(), expected + 13)


@native
@pytest.mark.parametrize("rows", [1, 5, BLOCK - 1, BLOCK, 3 * BLOCK + 5])
@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("has_bias", [True, False])
def test_near_the_plain_product(rows: int, bounded: bool, has_bias: bool) -> None:
    weight, bias, addend = random(40, 24, seed=1), random(40, seed=2) if has_bias else None, random(rows, 40, seed=3)
    x = random(rows, 24) * (1 if bounded else 7)
    exact = nn.functional.linear(x, weight, bias) + addend
    # An error of at most half a step in each of both factors, and 24 products.
    most = 24 * (1 / 254 + 1 / 254) * (1 if bounded else 7)
    actual = Int8Matrix(weight, bias, bounded).product(x, addend.clone())
    assert actual.shape == exact.shape
    assert (actual - exact).abs().max() < most
    assert (actual - exact).abs().mean() < most / 10


ROWS = (1, 2, 3, 17, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 3, 200)
SIZES = pytest.mark.parametrize(
    ("outputs", "inputs"), [(40, 24), (64, 64), (7, 5), (130, 515), (1000, 1024)], ids=lambda size: str(size)
)
BOUNDED = pytest.mark.parametrize("bounded", [True, False], ids=["bounded", "free"])


@native
@SIZES
@BOUNDED
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
def test_a_row_does_not_depend_on_those_beside_it(outputs: int, inputs: int, bounded: bool, has_bias: bool) -> None:
    bias, addend = random(outputs, seed=2) if has_bias else None, random(ROWS[-1], outputs, seed=3)
    matrix = Int8Matrix(random(outputs, inputs, seed=1), bias, bounded)
    x = random(ROWS[-1], inputs) * (1 if bounded else 7)
    alone = torch.cat([matrix.product(row) for row in x.split(1)])
    alone_and_added = torch.cat([matrix.product(*rows) for rows in zip(x.split(1), addend.split(1), strict=True)])
    for rows in ROWS:
        assert torch.equal(matrix.product(x[:rows]), alone[:rows]), f"{rows} rows"
        assert torch.equal(matrix.product(x[-rows:], addend[-rows:].clone()), alone_and_added[-rows:]), f"{rows} rows"


@native
@SIZES
@BOUNDED
def test_it_is_a_sum_of_integers_times_one_number(outputs: int, inputs: int, bounded: bool) -> None:
    """The reason why a row does not depend on its neighbours: nothing is left that could be rounded in two ways.

    Inputs are 256ths, of which 127 times are exact numbers: how they are rounded is not what is tried here."""
    weight, bias = random(outputs, inputs, seed=1), random(outputs, seed=2)
    x_NI = torch.randint(-255, 256, (ROWS[-1], inputs), generator=torch.Generator().manual_seed(3)) / 256
    x_NI[:, 0] = 1.0
    steps_O = weight.abs().amax(1) / LARGEST
    integers_OI = (weight / steps_O[:, None]).round().long()
    sums_NO = ((x_NI.double() * LARGEST + 0.5).floor().long() @ integers_OI.T).float()
    # As far as float32 counts every integer, which it does to 1,040 inputs.
    assert inputs * LARGEST**2 < 2**24
    one = torch.tensor(1.0) / LARGEST
    expected_NO = sums_NO * (steps_O / LARGEST) if bounded else sums_NO * steps_O * one
    for rows in ROWS:
        actual = Int8Matrix(weight, None, bounded).product(x_NI[:rows])
        assert torch.equal(actual, expected_NO[:rows]), f"{rows} rows"
    if bounded:
        assert torch.equal(Int8Matrix(weight, bias).product(x_NI), expected_NO + bias)


@native
@BOUNDED
def test_as_many_threads_as_there_are(bounded: bool, two_threads: None) -> None:
    """Threads share out the numbers in other places; enough of them for torch to do so."""
    matrix, x = Int8Matrix(random(900, 70, seed=1), random(900, seed=2), bounded), random(999, 70)
    shared = matrix.product(x)
    torch.set_num_threads(1)
    assert torch.equal(matrix.product(x), shared)


@native
def test_zeros_stay_zeros() -> None:
    zeros = torch.zeros(2, 8)
    for bounded in (True, False):
        assert torch.equal(Int8Matrix(torch.zeros(3, 8), bounded=bounded).product(random(2, 8)), torch.zeros(2, 3))
        assert torch.equal(Int8Matrix(random(3, 8), bounded=bounded).product(zeros), torch.zeros(2, 3))


@torch.inference_mode()
def logits(model: Seq2Seq, sentences: Sentences, in_int8: bool) -> Tensor:
    """Of each step of a search that reads these tokens."""
    run = model.new_pass(stepping=True, in_int8=in_int8, looking=False)
    state = ModelState.start(model, run, sentences.inputs)
    steps = []
    for tokens_B in sentences.reads_BT.unbind(1):
        step, state = state.step(tokens_B)
        steps.append(step.logits(slice(None)))
    return torch.stack(steps, 1)


@native
@pytest.mark.parametrize("case", few_cases(), ids=lambda case: case.name)
def test_search_steps_stay_near_those_in_float32(case: Case) -> None:
    model, sentences = tiny_model(case.config, dtype=torch.float32), tiny_sentences(steps=3)
    exact, rounded = logits(model, sentences, False), logits(model, sentences, True)
    # A tenth of what the logits differ by among themselves; another row's, or no bias, would be as far away as they.
    assert (rounded - exact).std() < 0.1 * exact.std()
    assert not torch.equal(rounded, exact)


@native
@pytest.mark.parametrize("halves", [halves for halves in HALVES if halves.encoder != "rnn"], ids=str)
@pytest.mark.parametrize("kind", ["none", "bahdanau", "multi-head", "local-p", "memory", "channel"])
def test_states_beyond_one_are_not_cut_off(kind: str, halves: Halves) -> None:
    """An RNN's lie in [-1, 1], a Transformer's need not."""
    model, sentences = tiny_model(tiny_config(kind, **halves.sections), dtype=torch.float32), tiny_sentences(steps=3)
    with torch.no_grad():
        dict(model.named_parameters())["encoder.norm.weight"].mul_(4)
    exact, rounded = logits(model, sentences, False), logits(model, sentences, True)
    assert (rounded - exact).std() < 0.1 * exact.std()
    states_BSE = model.encode(sentences.inputs, model.new_pass())[TEXT].states_BSE
    assert states_BSE.abs().max() > 4
    for module in model.decoder.modules():
        if isinstance(module, Linear):
            module.bounded = True
    cut_off = logits(model, sentences, True)
    assert (cut_off - exact).std() > 3 * (rounded - exact).std()


@pytest.mark.parametrize("halves", HALVES, ids=str)
@pytest.mark.parametrize("in_int8", [False, pytest.param(True, marks=native)], ids=["float32", "int8"])
def test_answers_do_not_depend_on_the_sentences_beside(halves: Halves, in_int8: bool) -> None:
    """But for the last digits, whichever those are: how many rows there are decides in which order products are added."""
    model = tiny_model(tiny_config("multi-head", attention={"heads": 2}, **halves.sections), dtype=torch.float32)
    sentences = tiny_sentences((9, 3, 1, 17, 6))
    together = logits(model, sentences, in_int8)
    for rows in ([0], [1], [2], [3], [4], [2, 1], [4, 2, 0]):
        longest = int(sentences.mask_BS[rows].sum(1).max())
        some = Sentences(sentences.src_BS[rows, :longest], sentences.mask_BS[rows, :longest], sentences.reads_BT[rows])
        # A last digit may round an input of a product in integers to the next one.
        near = 0.05 if in_int8 else 1e-5
        assert (logits(model, some, in_int8) - together[rows]).abs().max() < near * together.std()


@native
@pytest.mark.parametrize("case", [*in_turn(wirings()), *between(every=False)], ids=lambda case: case.name)
def test_every_linear_map_of_every_kind_is_in_8_bits(case: Case) -> None:
    """But for those that must be exact."""
    model, sentences = tiny_model(case.config, dtype=torch.float32), tiny_sentences()
    run = model.new_pass(stepping=True, in_int8=True)
    with torch.inference_mode():
        step, _ = ModelState.start(model, run, sentences.inputs).step(sentences.reads_BT[:, 0])
        step.logits(slice(None))
        for name, module in model.named_modules():
            if isinstance(module, Linear):
                assert isinstance(run.map(module), StepMatrix if module.exact else Int8Matrix), name
                assert module.exact == (name.endswith("window.position")), name


def test_what_int8_leaves_is_in_float32() -> None:
    with Precision("int8", "").autocast(CPU):
        assert nn.functional.linear(random(2, 3), random(4, 3)).dtype == torch.float32


def test_int8_is_refused_where_it_is_not_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq_cli.device.choices", lambda: choices()._replace(int8=False))
    assert choose_search_precision("auto", CPU).name != "int8"
    with pytest.raises(ConfigError, match="does not compute int8 natively"):
        choose_search_precision("int8", CPU)
