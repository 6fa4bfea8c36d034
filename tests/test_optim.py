"""Learning rates worked out by hand, and what one step does to the weights."""

import math

import pytest
import torch
from models import Sentences, tiny_config, tiny_model
from torch import nn

from seq2seq_cli.config.sections import TrainingConfig
from seq2seq_cli.model.seq2seq import Seq2Seq
from seq2seq_cli.training.optim import learning_rate, make_optimizer, step
from seq2seq_cli.training.progress import Progress

PEAK = 0.002
UNSCALED = torch.amp.GradScaler("cpu", enabled=False)


def config(**values: object) -> TrainingConfig:
    return TrainingConfig(learning_rate=PEAK, **{"warmup_steps": 0, "epochs": 10, **values})  # type: ignore[arg-type]


def rate(training: TrainingConfig, epoch_share: float = 0.0, **progress: float) -> float:
    """As a share of the peak."""
    return learning_rate(training, Progress(**progress), epoch_share) / PEAK  # type: ignore[arg-type]


def test_constant_stays_at_its_peak() -> None:
    assert rate(config(schedule="constant")) == rate(config(schedule="constant"), step=10**6) == 1


def test_warm_up_climbs_in_equal_steps_whatever_comes_after() -> None:
    constant = config(schedule="constant", warmup_steps=4)
    assert [rate(constant, step=step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    cosine = config(schedule="cosine", warmup_steps=4)
    assert rate(cosine, step=1) == pytest.approx(0.5)


def test_cosine_falls_over_the_epochs_to_a_hundredth() -> None:
    cosine = config(schedule="cosine")
    assert rate(cosine, epoch=0) == pytest.approx(1)
    assert rate(cosine, epoch=2, epoch_share=0.5) == pytest.approx(0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2)  # cos 45°
    assert rate(cosine, epoch=5) == pytest.approx(0.505)
    assert rate(cosine, epoch=10) == pytest.approx(0.01)
    assert rate(cosine, epoch=12) == pytest.approx(0.01)


def test_cosine_lands_inside_the_time_limit() -> None:
    limited = config(schedule="cosine", max_minutes=2)
    # A twentieth is kept for a look at dev before one has been timed.
    assert rate(limited, epoch=0, seconds=57) == pytest.approx(0.505)
    assert rate(limited, epoch=0, seconds=114) == pytest.approx(0.01)
    assert rate(limited, epoch=0, seconds=120) == pytest.approx(0.01)
    assert rate(limited, epoch=0, seconds=500) == pytest.approx(0.01)
    # Epochs that end sooner decide.
    assert rate(limited, epoch=9, epoch_share=1.0, seconds=6) == pytest.approx(0.01)


def test_inverse_sqrt_falls_from_the_end_of_the_warm_up() -> None:
    inverse = config(schedule="inverse-sqrt", warmup_steps=4)
    assert [rate(inverse, step=step) for step in (0, 1, 3)] == [0.25, 0.5, 1]
    assert rate(inverse, step=15) == pytest.approx(1 / 2)  # the 16th step: sqrt(4 / 16)
    assert rate(inverse, step=99) == pytest.approx(1 / 5)
    assert rate(config(schedule="inverse-sqrt"), step=8) == pytest.approx(1 / 3)  # no warm-up: sqrt(1 / 9)


def test_each_setback_halves_the_rate_of_any_schedule() -> None:
    for schedule in ("constant", "plateau", "inverse-sqrt", "cosine"):
        before, after = (rate(config(schedule=schedule), setbacks=setbacks, step=1000) for setbacks in (0, 2))
        assert after == pytest.approx(before / 4)


def test_plateau_takes_its_factor_from_the_evaluations() -> None:
    assert rate(config(schedule="plateau"), plateau_factor=0.25, step=1000) == 0.25


def with_gradient(*gradient: float) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    """A vector of zeros with this gradient, and plain gradient descent, so that a step shows what it was given."""
    parameter = nn.Parameter(torch.zeros(len(gradient)))
    parameter.grad = torch.tensor(gradient)
    return parameter, torch.optim.SGD([parameter])


def test_a_step_takes_the_mean_over_the_tokens() -> None:
    parameter, optimizer = with_gradient(30.0, -40.0)
    assert step(optimizer, 0.1, tokens=10, clip_norm=0, scaler=UNSCALED) == pytest.approx(5)  # |(3, -4)|
    assert parameter.tolist() == pytest.approx([-0.3, 0.4])
    assert parameter.grad is None


def test_the_norm_of_the_mean_is_clipped() -> None:
    parameter, optimizer = with_gradient(30.0, -40.0)
    assert step(optimizer, 1.0, tokens=10, clip_norm=1, scaler=UNSCALED) == pytest.approx(5)  # as it was before
    assert parameter.tolist() == pytest.approx([-0.6, 0.8], rel=1e-5)
    parameter, optimizer = with_gradient(3.0, -4.0)
    step(optimizer, 1.0, tokens=10, clip_norm=1, scaler=UNSCALED)  # a norm of 0.5 is left alone
    assert parameter.tolist() == pytest.approx([-0.3, 0.4])


def test_the_norm_is_that_of_all_parameters_together() -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0]), torch.tensor([4.0])
    step(torch.optim.SGD([first, second]), 1.0, tokens=1, clip_norm=1, scaler=UNSCALED)
    assert [first.item(), second.item()] == pytest.approx([-0.6, -0.8], rel=1e-5)


def test_a_step_without_any_gradient_changes_nothing() -> None:
    """So a process takes part in an update of fewer parameters than there are processes."""
    unused = nn.Parameter(torch.ones(1))
    assert step(torch.optim.Adam([unused], fused=True), 1.0, tokens=1, clip_norm=1, scaler=UNSCALED) == 0
    assert unused.item() == 1


def test_a_parameter_without_gradient_is_left_alone() -> None:
    used, unused = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.ones(1))
    used.grad = torch.tensor([2.0])
    step(torch.optim.SGD([used, unused]), 1.0, tokens=1, clip_norm=1, scaler=UNSCALED)
    assert unused.item() == 1
    assert used.item() == pytest.approx(-1)


def test_two_batches_added_up_are_one_of_double_size() -> None:
    """Sums over tokens and one division, not a mean of means: the batches differ in their numbers of tokens."""
    source, target = torch.randint(4, 13, (4, 5)), torch.randint(4, 13, (4, 6))
    real = torch.arange(6) < torch.tensor([6, 2, 3, 1])[:, None]
    everywhere = torch.ones_like(source, dtype=torch.bool)

    def trained(parts: list[slice]) -> Seq2Seq:
        model = tiny_model(tiny_config("bahdanau"))
        optimizer = torch.optim.SGD(model.parameters())
        for part in parts:
            sentences = Sentences(source[part], everywhere[part], target[part])
            model.loss(sentences.batch(target[part], real[part]), 0.1).smoothed.backward()
        step(optimizer, 0.5, int(real.sum()), clip_norm=0.3, scaler=UNSCALED)
        return model

    together, apart = trained([slice(0, 4)]), trained([slice(0, 1), slice(1, 4)])
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12, msg=name)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_the_first_step_of_adam_is_as_long_as_the_rate(name: str) -> None:
    model = nn.Linear(3, 2, bias=False)
    before = model.weight.detach().clone()
    optimizer = make_optimizer(model, config(optimizer=name))
    model.weight.grad = torch.tensor([[1.0, -20.0, 0.5], [3.0, 4.0, -9.0]])
    sign = model.weight.grad.sign()
    step(optimizer, 0.01, tokens=1, clip_norm=0, scaler=UNSCALED)
    torch.testing.assert_close(model.weight.detach(), before - 0.01 * sign, rtol=0, atol=1e-6)


def test_adamw_decays_weights_apart_from_the_gradient() -> None:
    parameter = nn.Linear(1, 1, bias=False)
    nn.init.ones_(parameter.weight)
    optimizer = make_optimizer(parameter, config(optimizer="adamw", weight_decay=0.5))
    parameter.weight.grad = torch.zeros(1, 1)
    step(optimizer, 0.1, tokens=1, clip_norm=1, scaler=UNSCALED)
    assert parameter.weight.item() == pytest.approx(0.95)  # 1 - 0.1 x 0.5
