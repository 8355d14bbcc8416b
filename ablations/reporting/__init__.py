"""The report: verdicts, figures and pictures from local files, as Markdown and as one HTML page.

==============  ==================================================================================
``evidence``    reads records and verdicts: one section for each study or experiment
``claims``      the table rows, warnings and plan of a claim, as text
``labels``      the icon and the rule of each label, and the glossary
``tables``      the arms of a section, published results beside them, their provenance
``strips``      forest plot and other charts whose rows are rows of a table
``plots``       points by seed and learning curves, drawn by matplotlib
``figures``     the forest plot and those of ``plots`` as SVG and PDF files
``exports``     ``runs.csv``, ``verdicts.csv`` and the LaTeX table
``mistakes``    confusion of the classes in each arm
``pictures``    kernels, predictions and nearest neighbors of one network; imports torch
``documents``   renders ``templates`` to ``RESULTS.md`` and ``report.html``
==============  ==================================================================================
"""
