"""Claims and studies: from their files to runs, and from records to verdicts.

=============  =================================================================================
``fields``     the kinds of fields in claim and study files
``schema``     claim and study files
``files``      finds and reads them
``runs``       the runs of a study: composed, trained, read back
``tuning``     rates of the arms, chosen on tuning seeds
``gates``      whether a claim can show at this scale
``measures``   one number for each arm and pair, and their differences
``claim_run``  one claim of a study: from its arms to its result
``study``      all claims of a study, in order
``ledger``     which study looked at which claim on which data
``results``    ``verdicts.json``
``words``      effects and remarks for readers
``tables``     what the command shows
=============  =================================================================================
"""
