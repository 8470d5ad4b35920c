"""Parts of `teach.py`'s rows on real footage."""
