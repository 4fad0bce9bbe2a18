"""What a run of the judge leaves behind: a summary on the terminal, report.json, junit.xml and
report.html.
"""
