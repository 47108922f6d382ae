"""Whether two tables say the same, where sums were added up in another order."""

import numpy as np
import pandas as pd


def same_tables(ours: pd.DataFrame, theirs: pd.DataFrame, name: str) -> None:
    """Assert that two tables in one order of rows are the same, but for the rounding of sums."""
    assert list(ours.columns) == list(theirs.columns), name
    assert len(ours) == len(theirs), name
    for column in ours.columns:
        _same_columns(ours[column], theirs[column], f"{name}.{column}")


def _same_columns(ours: "pd.Series[object]", theirs: "pd.Series[object]", name: str) -> None:
    if ours.dtype.kind == "f":
        # of the evidence: what was taken back leaves rounding
        np.testing.assert_allclose(
            ours.to_numpy(float), theirs.to_numpy(float), rtol=1e-9, atol=1e-9, err_msg=name
        )
    elif len(ours) and isinstance(ours.iloc[0], np.ndarray | np.ma.MaskedArray):
        lengths = [[len(each) for each in column] for column in (ours, theirs)]
        assert lengths[0] == lengths[1], name
        flat = [
            np.concatenate([np.ma.filled(np.ma.asarray(each, dtype=float), np.nan) for each in column])
            for column in (ours, theirs)
        ]
        # lists of reals are published as float32
        np.testing.assert_allclose(flat[0], flat[1], rtol=3e-7, atol=1e-9, err_msg=name)
    else:
        pd.testing.assert_series_equal(ours, theirs, obj=name)
