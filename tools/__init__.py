"""Programs of the project itself, not of the package: nothing here is in the wheel."""
