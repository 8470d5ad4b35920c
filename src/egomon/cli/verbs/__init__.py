"""The verbs of the command, each group in a module; each imports its work when called."""
