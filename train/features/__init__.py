"""Feature sets: frame vectors and labels of recordings, extracted, read and written."""
