"""UE-MCM (arXiv 2606.02120): small branch, large branch and their heads."""
