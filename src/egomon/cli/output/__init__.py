"""What a run writes while it watches; no disk, pipe or terminal that stands still holds it up."""
