"""The report: verdicts, figures and pictures from local files, as Markdown and as one HTML page.

==============  ==================================================================================
``findings``    one claim of a study, and its verdicts, in the words and units of the report
``arms``        runs that differ in nothing but the seed
``evidence``    records and findings, a chapter for each study; refuses to pool what differs
``provenance``  where the numbers of a chapter come from
``labels``      how each label looks, and the rule behind it
``words``       numbers and names for readers
``markdown``    ``RESULTS.md``
``svg``         a matplotlib figure as SVG that follows the page's colors
``forest``      all effects of a study beside the paper's
``seeds``       the runs behind one claim: points by seed, learning curves
``gaps``        training and test error of every arm
``towers``      how colorful the first kernels of each tower are
``album``       what pictures of a trained network consist of
``pictures``    kernels, predictions and neighbors of a trained network; imports torch
``reference``   results of the authors and of others, for runs on ImageNet
``html``        ``report.html``
==============  ==================================================================================
"""
