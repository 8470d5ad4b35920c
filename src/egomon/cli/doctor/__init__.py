"""The checks of `egomon doctor`."""
