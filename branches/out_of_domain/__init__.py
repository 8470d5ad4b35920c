"""Out-of-domain detection: how far frames are from the training data of a bundle."""
