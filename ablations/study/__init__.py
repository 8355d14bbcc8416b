"""A study: the claims of one command at one experiment, from their plan to ``verdicts.json``.

============  ==================================================================================
``design``    claims become cases with arms and jobs; what they share is one run
``runner``     trains what has no record yet; the records are the only state
``cost``      runs, time and disk of a study, and what the naive grid would take
``readout``   a number for each arm and pair of seeds, read out of the records
``tuning``    the learning rate of an arm, and other tuned keys, on seeds that are not used again
``confirm``   looks at the pairs, verdicts, and which claims go on
``verdicts``  the file that reports read
``results``   a study in the words of that file
``tables``    what a command shows of all this
``conduct``   all of it, in order
============  ==================================================================================
"""
