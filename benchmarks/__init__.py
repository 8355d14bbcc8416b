"""Speed, as ratios against something that runs beside it in the same process."""
