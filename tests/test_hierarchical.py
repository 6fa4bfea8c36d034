"""Words within segments, segments within the source: by hand, and where segments end."""

import math

import pytest
import torch
from attending import assert_close, look, made, memory_of, put

from seq2seq_cli.config.attention import AttentionConfig
from seq2seq_cli.config.sections import SubwordConfig
from seq2seq_cli.data.subword import train_subword
from seq2seq_cli.model.attention.segments import SplitAtMarks, SplitByLength

LN2, LN3 = math.log(2), math.log(3)


@torch.no_grad()
def test_by_hand() -> None:
    attention = made("hierarchical", 1, 1, ends=(9,))
    put(attention.score.word.key.weight, [[1]])
    put(attention.score.segment.key.weight, [[4]])
    states = [[LN2], [0.0], [LN3], [0.0]]
    memory = memory_of(attention, states, tokens=[5, 9, 5, 3])
    attended, _ = look(attention, memory, [1.0])
    # Segments of two words: 2/3, 1/3 and 3/4, 1/4; summaries 2/3 ln 2 and 3/4 ln 3
    one, two = 2 / 3 * LN2, 3 / 4 * LN3
    share = math.exp(4 * one) / (math.exp(4 * one) + math.exp(4 * two))
    weights = [share * 2 / 3, share / 3, (1 - share) * 3 / 4, (1 - share) / 4]
    assert_close(attended.look.weights_BTS[0, 0], weights)
    assert_close(attended.context_BTE[0, 0], [share * one + (1 - share) * two])


def test_where_marks_split() -> None:
    tokens_BS = torch.tensor([[5, 9, 5, 9, 8, 5, 2], [5, 9, 2, 0, 9, 0, 9], [9, 5, 9, 9, 5, 9, 2]])
    mask_BS = torch.arange(7) < torch.tensor([[7], [3], [7]])
    # Not between two marks in a row, not before </s> alone, not in the padding.
    numbers = SplitAtMarks((8, 9))(tokens_BS, mask_BS)
    assert numbers[0].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert numbers[1, :3].tolist() == [0, 0, 0]
    assert numbers[2].tolist() == [0, 1, 1, 1, 2, 2, 2]


def test_where_lengths_split() -> None:
    mask_BS = torch.arange(7) < torch.tensor([[7], [4], [1]])
    numbers = SplitByLength(3)(torch.zeros(3, 7), mask_BS)
    assert numbers[0].tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert numbers[1, :4].tolist() == [0, 0, 0, 0]
    assert numbers[2, :1].tolist() == [0]


@pytest.mark.parametrize(("split", "ends"), [("sentences", {".", "!", '."'}), ("clauses", {".", "!", '."', ",", ":"})])
def test_marks_of_a_tokenizer(split: str, ends: set[str]) -> None:
    lines = ["Go , he said : stop ! Now .", 'He said : " go ."', "Now , now ( go )"]
    subword = train_subword(lines, SubwordConfig(type="word", vocab_size=30))
    config = AttentionConfig.model_validate({"kind": "hierarchical", "split": split})
    found = {subword.pieces([number])[0].removeprefix("▁") for number in subword.ending(config.segment_marks)}
    assert found == ends


def test_other_kinds_have_no_marks() -> None:
    assert AttentionConfig(kind="luong-general").segment_marks == ""
    assert AttentionConfig(kind="hierarchical", split="length").segment_marks == ""
    assert train_subword(["a b c . d"], SubwordConfig(type="char", vocab_size=9)).ending("") == []
