"""The small branch that follows steps: taught by correct recordings, watched by one filter."""
