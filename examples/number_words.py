"""Numbers in words to digits and back: sequence to sequence on pairs made here, judged on numbers it has not seen.

    python examples/number_words.py
    python examples/number_words.py numbers.csv

The second line writes the pairs to a file, which one command then trains on:

    elman train seq2seq --recipe number-words --data numbers.csv
"""

from __future__ import annotations

import csv
import random
import sys

from elman import Seq2Seq
from elman.tasks.recipes import read_recipe

UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(number: int) -> str:
    """A number from 0 to 999,999 in words.

    >>> in_words(402), in_words(21_007)
    ('four hundred and two', 'twenty-one thousand and seven')
    """
    if number < 20:
        return UNITS[number]
    if number < 100:
        return TENS[number // 10 - 2] + (f"-{UNITS[number % 10]}" if number % 10 else "")
    if number < 1000:
        rest = f" and {in_words(number % 100)}" if number % 100 else ""
        return f"{UNITS[number // 100]} hundred{rest}"
    rest = number % 1000
    joined = f" and {in_words(rest)}" if 0 < rest < 100 else f" {in_words(rest)}" if rest else ""
    return f"{in_words(number // 1000)} thousand{joined}"


def pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Different numbers of one to six digits, each length as likely, in words and in digits."""
    draw = random.Random(seed)
    numbers: dict[int, None] = {}
    while len(numbers) < count:
        numbers[draw.randrange(10 ** draw.randint(1, 6))] = None
    return [in_words(number) for number in numbers], [str(number) for number in numbers]


def main() -> None:
    """Trains for less than a minute and reads out some numbers."""
    words, digits = pairs(5000, seed=0)
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("source", "target"), *zip(words, digits, strict=True)])
        print(f"{len(words):,} pairs in {sys.argv[1]}")
        return
    model = Seq2Seq(**read_recipe("number-words", "seq2seq"))
    model.fit(words[:4000], digits[:4000], quiet=False)
    found = model.evaluate(words[4000:], digits[4000:])
    print(f"\n1,000 numbers it has not seen\n{model.show(found, None)}\n")
    for text in ("four hundred and two", "ninety thousand and nineteen"):
        for answer in model.answers([text], n_best=3)[0]:
            print(f"{answer.log_prob:9.4f}  {text} = {answer.text}")


if __name__ == "__main__":
    main()
