"""Claims and studies: from their files to runs, and from records to verdicts.

============  ==================================================================================
``schema``    the fields of claim and study files
``files``     finds and reads them
``runs``      the runs of a study: composed, trained, read back
``tuning``    rates of the arms, chosen on tuning seeds
``gates``     whether a claim can show at this scale
``measures``  one number for each arm and pair, and their differences
``ledger``    which study looked at which claim on which data
``results``   ``verdicts.json``
``study``     all of it, in order
``words``     effects and remarks for readers
``tables``    what the command shows
============  ==================================================================================
"""
