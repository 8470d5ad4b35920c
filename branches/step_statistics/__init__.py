"""The small branch with counted statistics of steps and their order."""
