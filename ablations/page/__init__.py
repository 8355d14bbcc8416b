"""The report: verdicts, figures and pictures from local files, as Markdown and as one HTML page.

==============  ==================================================================================
``findings``    one comparison of ``verdicts.json`` in the words and units of the page
``arms``        runs that differ in nothing but the seed
``evidence``    records and findings, a chapter for each study; refuses to pool what differs
``provenance``  where the numbers of a chapter come from
``labels``      the words of the verdicts, each with its shape, its colour and its meaning
``words``       numbers as a reader wants them
``markdown``    ``RESULTS.md``
``svg``         a matplotlib figure as SVG that follows the page's colours
``forest``      all effects of an experiment beside the paper's
``seeds``       the runs behind one claim: points by seed, learning curves
``gaps``        training and test error of every arm
``towers``      which tower turned to colour
``album``       what pictures of a trained network consist of
``pictures``    kernels, guesses and neighbours of a trained network; the one file with torch
``reference``   the authors' own results and others', for runs on ImageNet
``html``        ``report.html``
==============  ==================================================================================
"""
