from ablations.page import reference


def test_the_table_ships_and_errors_are_percentages():
    table = reference.load()
    rows = [*table.authors, *table.others]
    assert len(table.authors) >= 15
    assert all(35 < row.top1 < 45 and 14 < row.top5 < 22 for row in rows)
    assert {row.views for row in rows} == {1, 10}


def test_figures_of_the_paper_are_traced_to_runs():
    traced = {row.run: row.traced for row in reference.load().authors if row.traced}
    assert {"145-half", "147", "148", "146-2012-2011"} <= traced.keys()
