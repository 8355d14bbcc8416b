"""Claims and studies: from their files to runs, and from records to verdicts.

============  ===================================================================================
``schema``    fields of claim and study files, and their checks
``files``     finds and reads them
``runs``      the runs of a study: composed, trained, read back
``tuning``    tuned values of the arms, chosen on tuning seeds
``gates``     whether a claim is testable at this scale
``measures``  one number for each arm and pair, and their differences
``study``     the claims of a study, from the plan to their results
``ledger``    which study looked at which claim on which data
``results``   ``verdicts.json``
``words``     effects, intervals and remarks as text
``tables``    tables of the command
============  ===================================================================================
"""
