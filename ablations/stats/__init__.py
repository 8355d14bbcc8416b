"""From paired measurements to verdicts: intervals, looks, families, margins, times, noise, power.

:func:`ablations.stats.decide.decide` is the way in; the other modules hold one idea each and work
on plain arrays.

=================  ===============================================================================
``pairs``          what was measured of a claim, as one difference per seed
``interval``       standard deviation pooled over claims that share a baseline; t interval, TOST
``sequential``     nominal levels for several looks at the data; the anytime-valid t-test
``multiplicity``   Holm, Bonferroni and Benjamini-Hochberg, as adjusted p-values and as levels
``secondary``      paired t, sign flips, sign test, seed correlation: shown beside the verdict
``timing``         time to a target from a noisy curve
``noise``          what a finite test set adds when the claim is about new images
``power``          more seeds, and the probability that they will decide
``family``         the rule of a study, its pools, and its tests held against their levels
``verdict``        the table of labels, and the verdict with its sentence
``decide``         all of it, for a family of claims
``simulate``       error rates, coverage and power of these functions, as a Markdown table
=================  ===============================================================================
"""
