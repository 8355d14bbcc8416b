"""Statistics that turn paired differences into verdicts.

=============  =================================================================================
``intervals``  standard deviations pooled over comparisons that share a baseline; t intervals
``looks``      nominal levels for several looks at the data
``labels``     the rule: comparisons in, verdicts out
``power``      probability of the label ``holds``, for plans
``timing``     time to a target from a noisy curve
``simulate``   error rates, coverage and power of the rule, as a Markdown table
=============  =================================================================================
"""
