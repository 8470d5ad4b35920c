"""Whether footage is of the kind that a bundle was trained on."""
