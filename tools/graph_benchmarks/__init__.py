"""What learned workflow graphs find on labelled steps, with a perfect recogniser."""
