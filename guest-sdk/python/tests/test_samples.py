"""The samples pass the cases that they pass in every language."""

import importlib
import unittest
from pathlib import Path

from wstream_guest.testing import check_cases

CASES = Path(__file__).parents[2] / "samples"


class Samples(unittest.TestCase):
    def test_the_shared_cases(self) -> None:
        for sample in ("identity", "project", "split", "strict", "count"):
            with self.subTest(sample):
                guest = importlib.import_module(f"samples.{sample}").Guest
                check_cases(guest, CASES / f"{sample}.cases.jsonl")
