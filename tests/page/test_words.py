from math import inf

from ablations.page import words


def test_zero_has_no_sign():
    assert words.number(-0.001, 1) == "0.0"


def test_infinity_is_a_symbol():
    assert (words.number(inf), words.number(-inf)) == ("∞", "−∞")


def test_plain_figures_keep_the_digits_they_have():
    assert words.plain(0.014, 100) == "1.4"
    assert words.plain(2.45) == "2.45"


def test_classes_that_differ_in_their_numbers_alone_keep_them():
    names = ["n02012849 crane", "n03126707 crane"]
    assert words.classes(names) == names


def test_a_sentence_has_a_capital_minus_signs_and_one_period():
    assert words.sentence("changes by -3 % [-5, -1].") == "Changes by −3 % [−5, −1]."
