import pytest
from planted_defects import ROOT, Defect, read


@pytest.mark.parametrize("defect", read(), ids=lambda defect: defect.behavior)
def test_a_defect_has_its_place_and_its_tests(defect: Defect):
    assert (ROOT / defect.file).read_text().count(defect.old) == 1
    files = [word for word in defect.test.split() if word.startswith("tests/")]
    assert files
    assert all((ROOT / file).exists() for file in files)
