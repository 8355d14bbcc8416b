"""The report: verdicts, figures and pictures from local files, as Markdown and as one HTML page.

==============  ==================================================================================
``evidence``    reads records and verdicts: one section for each study or experiment
``claims``      the table rows, warnings and plan of a claim, as text
``labels``      the icon and the rule of each label, and the glossary
``tables``      the arms of a section, published results beside them, their provenance
``drawing``     the style of figures; SVG and PDF files, and elements of the page
``forest``      forest plot, and gaps between training and test error
``plots``       points by seed and learning curves; all figures of a report
``exports``     ``runs.csv`` and ``verdicts.csv``
``mistakes``    confusion of the classes in each arm
``pictures``    kernels, predictions and nearest neighbors of one network; imports torch
``documents``   renders ``templates``: ``RESULTS.md``, ``report.html``, ``verdicts.tex``
==============  ==================================================================================
"""
