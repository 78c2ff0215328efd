"""One module a paper: its statements and how the results of a study test them.

Published numbers come from the papers' abstracts (the full texts were not available), so the papers' protocols are
not known in detail; every claim's ``setting`` says what is known to differ.
"""
