"""The theorems over any vocabulary and any ordered field; `build.py` checks them, `mutate.py`
breaks them.
"""
