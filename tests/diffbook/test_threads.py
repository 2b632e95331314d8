"""How many threads torch may use."""

import sys

import pytest
import torch
from nonsense import case, faults

from diffbook.threads import one_thread_each, torch_threads


def test_the_number_is_set_and_comes_back():
    before = torch.get_num_threads()
    try:
        torch_threads(3)
        with one_thread_each():
            torch_threads(2)
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_torch_gets_its_number_back_whatever_the_libraries_do(monkeypatch):
    class Torch:
        count = 5

        def get_num_threads(self):
            return self.count

        def set_num_threads(self, count):
            self.count = count

    monkeypatch.setitem(sys.modules, "torch", Torch())
    with one_thread_each():
        torch_threads()
        assert sys.modules["torch"].count == 1
    assert sys.modules["torch"].count == 5
    monkeypatch.delitem(sys.modules, "torch")
    torch_threads(2)
    assert "torch" not in sys.modules


def test_nonsense_is_refused_by_name():
    assert faults(case(torch_threads, count=torch.get_num_threads()), "count") == []
    with pytest.raises(ValueError, match="count: got 0"):
        torch_threads(0)
